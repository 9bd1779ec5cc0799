"""The random factor of a pool: laboratories that ran one study, or settings of it that differ as declared."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Factor:
    """name: what tables and sentences call one of its members. settings: whether they differ in declared keys; then each has a
    base model, or its answers, of its own."""

    name: str = "laboratory"
    settings: bool = False

    @property
    def plural(self) -> str:
        """
        >>> Factor().plural, Factor("setting").plural
        ('laboratories', 'settings')
        """
        return f"{self.name[:-1]}ies" if self.name.endswith("y") else f"{self.name}s"


LABORATORY = Factor()
