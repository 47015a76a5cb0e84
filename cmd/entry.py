"""Where the program ``statspout`` begins: with its signals, for they may come while the rest is loaded."""

from __future__ import annotations

from statspout import signals


def main() -> int:
    """Run the command that the process was started with; the exit code."""
    signals.hold()
    from statspout.cmd.main import main as run  # not before its signals are held

    code = run()
    signals.end_with(code)
    return code
