"""Copy runs and studies from another home with rsync."""
