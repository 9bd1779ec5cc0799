"""The arms in other people's trainers (docs/adapters.md). Each module imports its framework, which asymgrpo does not need."""
