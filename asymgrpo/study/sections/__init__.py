"""The sections of a configuration, one class each: a sentence per field, every unit and convention named."""
