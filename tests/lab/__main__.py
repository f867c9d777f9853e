"""``python -m tests.lab --hosts 4``: hosts to try things on by hand, until Ctrl-C."""

from __future__ import annotations

import argparse
import signal

from tests.lab import open_lab


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description="Hosts to try things on.")
    parser.add_argument("--hosts", type=int, default=4)
    parser.add_argument("action", nargs="?", choices=["shell"], default="shell", help="wait until Ctrl-C")
    told = parser.parse_args()
    with open_lab(told.hosts) as lab:
        print(f"hosts: {' '.join(lab.names)}")
        print(f"ssh -F {lab.ssh_config} {lab.names[0]}", flush=True)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            signal.pause()
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    main()
