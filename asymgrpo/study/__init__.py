"""What a study is: its configuration, and the settings that every result of it states."""
