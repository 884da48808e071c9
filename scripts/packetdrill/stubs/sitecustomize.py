# Names that scripts of FreeBSD's origin use and packetdrill knows on FreeBSD alone, for the asserts that it runs in python3. The
# library answers in the numbers of Linux, and packetdrill here writes the others out itself.
import builtins

for _number, _state in enumerate(
    "ESTABLISHED SYN_SENT SYN_RECEIVED FIN_WAIT_1 FIN_WAIT_2 TIME_WAIT CLOSED CLOSE_WAIT LAST_ACK LISTEN CLOSING".split(), start=1
):
    setattr(builtins, "TCPI_" + _state, _number)
