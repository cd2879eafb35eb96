"""The backend for the vendors' high-level synthesis, through hls4ml."""
