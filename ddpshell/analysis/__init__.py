"""What a stream of timestamped frames says: pure views of recordings, of HAR files and of live connections."""
