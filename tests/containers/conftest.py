"""Images are built once for all tests of a session."""

from tests.containers.image import images, train_image

__all__ = ["images", "train_image"]
