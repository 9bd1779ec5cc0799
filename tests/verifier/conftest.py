"""One verifier for the modules here that need no special limits."""

import pytest

from asymgrpo.verifier import Verifier


@pytest.fixture(scope="session")
def verifier():
    with Verifier(workers=2) as shared:
        yield shared
