"""A process whose disk is full in the middle of a line, and then has room again."""

import subprocess
import sys
from pathlib import Path

CHILD = """
import resource, signal, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from audit.auditing import decision
from audit_journal import AuditJournal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
audit = AuditJournal(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
for number in range(20):
    audit.record(decision(number))
while Path(sys.argv[1]).stat().st_size < 4096:
    time.sleep(0.01)
time.sleep(0.1)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
audit.close()
print(audit.count().written, audit.count().lost)
"""


def write_through_a_full_disk(path: Path) -> str:
    """Have a child record 20 decisions, whose file may not grow over 4 KiB for a while; how many it says are written
    and how many are lost."""
    here = str(Path(__file__).parents[1])
    ended = subprocess.run(
        [sys.executable, "-c", CHILD, str(path), here], capture_output=True, text=True, timeout=30, check=True
    )
    return ended.stdout.splitlines()[-1]
