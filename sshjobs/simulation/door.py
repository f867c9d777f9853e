"""The front process of a connection, which finds the agent of a machine or starts one."""

from __future__ import annotations

from sshjobs.gjob import wire
from sshjobs.simulation.agent import Agent
from sshjobs.simulation.machine import Machine
from sshjobs.simulation.pipe import Connection


def answer_door(machine: Machine, connection: Connection, nonce: str) -> None:
    """Be the front process of a connection: when the first stage with the hello arrives, say the marker, and find the
    agent or start one."""
    decoder = wire.Decoder()

    def on_hello(data: bytes) -> None:
        try:
            frames = decoder.feed(data)
            hello = next(frames, None)
            if hello is None:
                return
            connection.down.write(f"\nSSHJOBS-READY {nonce}\n".encode())
            machine.connection = connection
            agent = machine.agent or Agent(machine, hello[0])
            agent.welcome(connection, decoder, hello[0])
        except wire.WireError:
            connection.close_far()
            return
        # What came behind the hello in the same piece is the agent's to read.
        agent.take(connection, frames)
    connection.on_up = on_hello
    machine.connection = connection
