"""What a terminal shows: functions from plain values to text and Rich renderables."""
