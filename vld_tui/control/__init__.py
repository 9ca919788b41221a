"""Actions on runs, studies and queues: plain values in, plain values out, no sentences."""
