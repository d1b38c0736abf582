"""What can be wrong with a lake or a file in it; each message says what to do."""


class LakeError(RuntimeError):
    """A lake that can't be used: unwritable, of another market, or of an unknown format."""


class DamagedFileError(LakeError):
    """A stored file whose bytes are not those that were written."""


class UnknownContractError(LakeError):
    """A stored file of another version of its table's contract."""


class ConflictError(LakeError):
    """A file that another process has written since it was read; nothing was written."""

    def __init__(self, place: object) -> None:
        super().__init__(
            f"{place} was written by another process meanwhile; run the same command again"
        )


class RequestError(LakeError):
    """A request that the lake can't answer: an unknown table, ticker or date."""
