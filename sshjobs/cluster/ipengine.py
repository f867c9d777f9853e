"""ipyparallel's engine for supervisors, which start an engine again when it fails: it fails when it has lost its
controller.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

import zmq
from ipyparallel.engine.app import IPEngine
from zmq.utils.monitor import recv_monitor_message

#: Exit status of an engine that has lost its controller.
LOST_STATUS = 1
#: How often the controller is probed, and after how long a silence it counts as lost, in milliseconds. The controller
#: takes a silent engine off its list for good after 30 s.
_HEARTBEAT_MS, _SILENCE_MS = 5_000, 15_000


class SupervisedEngine(IPEngine):  # type: ignore[misc]
    """An engine that ends with 0 only when it was told to.

    ipyparallel's own engine never registers again. After a network was cut for half a minute, or the controller was
    restarted, it would go on running without ever getting work.
    """

    def start_heartbeat(self, *of: Any) -> None:
        """Start the heartbeat, once the engine is registered."""
        super().start_heartbeat(*of)
        threading.Thread(target=self._fail_without_controller, daemon=True).start()

    def _fail_without_controller(self) -> None:
        watch = zmq.Context().socket(zmq.DEALER)
        watch.setsockopt(zmq.HEARTBEAT_IVL, _HEARTBEAT_MS)
        watch.setsockopt(zmq.HEARTBEAT_TIMEOUT, _SILENCE_MS)
        if self.curve_serverkey:
            watch.curve_serverkey, watch.curve_secretkey = self.curve_serverkey, self.curve_secretkey
            watch.curve_publickey = self.curve_publickey
        monitor = watch.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        watch.connect(self.registration_url)
        recv_monitor_message(monitor)
        os._exit(LOST_STATUS)


if __name__ == "__main__":
    SupervisedEngine.launch_instance()
    sys.exit(LOST_STATUS)
