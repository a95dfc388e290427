"""How much memory a process has needed at most, as a function that a test's subprocess can run."""

PEAK_BYTES = """
import resource, sys
from pathlib import Path

def peak_bytes():
    status = Path("/proc/self/status")
    if status.exists():  # getrusage begins with the peak of the process that started this one
        return int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
"""
