"""Sources of what runs inside an emulator."""
