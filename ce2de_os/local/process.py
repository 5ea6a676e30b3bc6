"""Start, recognize and stop processes that outlive the command that started them."""

from __future__ import annotations

import os
import pwd
import signal
import stat
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ce2de_os.errors import LocalServerError

_POLL_S = 0.05
_KILL_S = 10.0
START_S = 180.0
_LOG_LINES = 5
_LOG_BYTES = 1_000_000  # of the end of a log, which has no limit
# The shell raises the descriptor limit as far as it may, starts the server in the background, prints its
# pid, and exits; then the server is a child of init, not of us.
_LAUNCH = 'ulimit -n "$(ulimit -Hn)" 2>/dev/null; { exec "$@" </dev/null 1>&2; } & echo $!'


@dataclass(frozen=True)
class Process:
    """A process and its start time, which differs for a later process with the same pid."""

    pid: int
    birth: str

    @property
    def is_alive(self) -> bool:
        """Return whether this process runs; a zombie does not."""
        return birth(self.pid) == self.birth

    def stop(self, timeout_s: float) -> None:
        """Send SIGTERM, wait, and kill the process after ``timeout_s``.

        Raises:
            LocalServerError: it still runs.
        """
        for number, patience_s in ((signal.SIGTERM, timeout_s), (signal.SIGKILL, _KILL_S)):
            if self._signal_and_wait(number, patience_s):
                return
        raise _stays(self.pid)

    def kill(self) -> None:
        """Kill the process at once, like a crash.

        Raises:
            LocalServerError: it still runs.
        """
        if not self._signal_and_wait(signal.SIGKILL, _KILL_S):
            raise _stays(self.pid)

    def _signal_and_wait(self, number: signal.Signals, timeout_s: float) -> bool:
        if not self.is_alive:
            return True
        os.kill(self.pid, number)
        deadline = time.monotonic() + timeout_s
        while self.is_alive and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        return not self.is_alive


@dataclass(frozen=True)
class Account:
    """The unprivileged user that runs the servers when the caller is root."""

    name: str
    uid: int
    gid: int


def service_account() -> Account | None:
    """Return the account for the servers; ``None``: the caller's own, because the caller is not root."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        raise LocalServerError(
            "OpenSearch refuses to run as root, and there is no account 'nobody' to run it as; "
            "run this command as an ordinary user"
        ) from None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def check_reachable(path: Path, account: Account | None) -> None:
    """Check that ``account`` can enter ``path`` and the folders above it, as far as they exist.

    Raises:
        LocalServerError: one of them is closed.
    """
    resolved = path.resolve()
    for folder in (resolved, *resolved.parents) if account else ():
        if folder.exists() and not folder.stat().st_mode & 0o001:
            raise LocalServerError(
                f"{path}: the account '{account.name if account else ''}', which runs OpenSearch because "
                f"it refuses to run as root, cannot enter {folder}; choose another place in `home` or "
                "CE2DE_CACHE, or run this command as an ordinary user"
            )


def check_owned(path: Path) -> None:
    """See that no other account may change what is in ``path``, as far as it exists.

    What lies there is run, and names processes that are ended.

    Raises:
        LocalServerError: it belongs to another account, or others may write to it or replace it.
    """
    resolved = Path(os.path.realpath(path))
    for folder in (each for each in (resolved, *resolved.parents) if each.exists()):
        found = folder.stat()
        if folder == resolved and found.st_uid != os.geteuid():
            raise LocalServerError(
                f"{path}: belongs to another account, who could change what is run from there; "
                "choose another place with `home` or CE2DE_CACHE"
            )
        others = stat.S_IWOTH | (stat.S_IWGRP if folder == resolved else 0)
        if found.st_mode & others and not found.st_mode & stat.S_ISVTX:
            raise LocalServerError(
                f"{path}: other accounts may write to {folder} and change what is run from there; run: "
                f"chmod go-w {folder}, or choose another place with `home` or CE2DE_CACHE"
            )


def make_folder(path: Path) -> None:
    """Create ``path`` and what is missing above it, so that no other account may write there.

    Root's are open to the account that runs the servers.
    """
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        folder.chmod(0o755 if os.geteuid() == 0 else folder.stat().st_mode & 0o755)


def start(args: list[str | Path], log: Path, folder: Path, account: Account | None) -> Process:
    """Start ``args`` in ``folder`` in a session of its own; what it prints goes to ``log``.

    Raises:
        LocalServerError: this user may not start processes as ``account``.
    """
    # A clean environment: JAVA_TOOL_OPTIONS and similar variables are for other programs.
    environment = {"PATH": os.defpath, "LANG": "C.UTF-8", "HOME": str(folder)}
    identity = {"user": account.uid, "group": account.gid, "extra_groups": []} if account else {}
    with log.open("wb") as output:
        try:
            shell = subprocess.run(
                ["/bin/sh", "-c", _LAUNCH, "sh", *args],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=output,
                start_new_session=True,
                check=True,
                **identity,  # type: ignore[call-overload]
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise LocalServerError(
                f"cannot start {args[0]} as {account.name if account else 'this user'} ({error}); OpenSearch "
                "refuses to run as root, so run this command as an ordinary user"
            ) from error
    pid = int(shell.stdout)
    return Process(pid, birth(pid) or "died")


def wait_until(
    name: str, server: Process | None, is_ready: Callable[[], bool], log: Path, patience_s: float = START_S
) -> None:
    """Wait until ``server`` is ready.

    Raises:
        LocalServerError: it stopped, or is not ready after ``patience_s``; the message quotes ``log``.
    """
    deadline = time.monotonic() + patience_s
    while server and server.is_alive and time.monotonic() < deadline:
        if is_ready():
            return
        time.sleep(_POLL_S)
    alive = server and server.is_alive
    fate = f"does not answer after {patience_s:.0f} s" if alive else "stopped while it started"
    raise LocalServerError(f"{name} {fate}; {log}: {_last_words(log)}")


def _stays(pid: int) -> LocalServerError:
    return LocalServerError(f"process {pid} does not stop; it hangs in the kernel, check its disk")


def _last_words(log: Path) -> str:
    """Read the deepest cause from a log, which Java prints last; without one, the last lines."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _LOG_BYTES))
        lines = file.read(_LOG_BYTES).decode("utf-8", "replace").splitlines()
    causes = [line for line in lines if line.startswith("Caused by:")][-1:]
    return " / ".join(line.strip() for line in causes or lines[-_LOG_LINES:])


def birth(pid: int) -> str | None:
    """Return when ``pid`` was started, as the system prints it; ``None`` if it does not run."""
    if Path("/proc/self/stat").exists():
        return _birth_on_linux(pid)
    answer = subprocess.run(
        ["/bin/ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    state, _, started = answer.stdout.strip().partition(" ")
    return None if not state or state.startswith("Z") else started.strip()


def _birth_on_linux(pid: int) -> str | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command's name is in brackets and may contain blanks; after it come state (3rd) … start (22nd).
    fields = stat.rpartition(")")[2].split()
    if fields[0] in "ZX":
        return None
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot}/{fields[19]}"
