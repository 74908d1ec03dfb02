"""The one error of this program: a sentence the user can act on, and an exit code (sysexits)."""

USAGE = 64  # the command line asks for something that does not exist
DATA = 65  # a file is not what the lock says
UNAVAILABLE = 69  # pip or the network
IO = 74  # the disk
CONFIG = 78  # LIBTORCH names something unusable


class Trouble(Exception):
    """Ends the program with `sentence` on standard error and exit status `code`."""

    def __init__(self, code: int, sentence: str):
        super().__init__(sentence)
        self.code = code
