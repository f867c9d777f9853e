"""What people write into their ssh configuration: wherever plain ``ssh host true`` logs in, so do we, and only there.

Left out is what is meant to differ: keys that ssh would accept by itself, and RemoteCommand.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sshjobs.errors import HostError
from sshjobs.model.host import Host
from sshjobs.network.payload import first_stage
from sshjobs.network.transport.openssh import OpensshTransport

#: Seconds that either of the two gets, and how many are tried at a time.
PATIENCE, AT_ONCE = 30.0, 3

# Each is put before the lab's own configuration, in which {name} is a host at {address}, {second} at {other} and
# {third} are others, and every key is known. What is asked is {name}, or the first word of `Host` where that is `try-`.
IDIOMS = {
    "nothing": "",
    "an alias": "Host try-1\n HostName {address}\n User lab\n",
    "an alias with a token": "Host try-{address}\n HostName {address}\n HostKeyAlias %n\n User lab\n",
    "a name of its own for the key": "Host try-2\n HostName {address}\n HostKeyAlias {name}\n User lab\n",
    "the wrong name for the key": "Host try-3\n HostName {address}\n HostKeyAlias {second}\n User lab\n",
    "patterns": "Host node* !{second}\n Compression yes\nHost !{name}\n User nobody-knows\n",
    "equals signs": "Host={name}\n User = lab\n Compression=yes\n",
    "quotes": 'Host "{name}"\n User "lab"\n IdentityFile "{key}"\n',
    "comments and tabs": "# first\n\n\tHost {name}   \n\t\tUser lab  # mine\n",
    "line ends of Windows": "Host {name}\r\n  User lab\r\n",
    "small letters": "host {name}\n user lab\n compression YES\n".replace("YES", "yes"),
    "keywords of old versions": "Protocol 2\nUsePrivilegedPort no\nRSAAuthentication yes\nRhostsRSAAuthentication no\n",
    "an unknown keyword": "UseKeychain yes\n",
    "an unknown keyword that is ignored": "IgnoreUnknown UseKeychain\nHost *\n UseKeychain yes\n",
    "several that are ignored": "IgnoreUnknown AddKeysTo*,UseKey*,GSSAPIRenewal*\nHost *\n UseKeychain yes\n",
    "one that is ignored too late": "Host *\n UseKeychain yes\nIgnoreUnknown UseKeychain\n",
    "a value that cannot be": "Host *\n Port many\n",
    "a keyword without a value": "Host *\n Compression\n",
    "the last of a file without an end": "Host {name}\n User lab\n\n#",
    "match all": "Match all\n Compression yes\n",
    "match host": "Match host {name}\n User lab\nMatch host {second}\n User nobody-knows\n",
    "match originalhost": "Match originalhost {name} user root\n User lab\n",
    "match exec": 'Match host {name} exec "test -n %h"\n User lab\nMatch exec "false"\n User nobody-knows\n',
    "match exec to a wrong user": 'Match exec "true"\n User nobody-knows\n',
    "match localuser": "Match localuser root,nobody\n Compression yes\n",
    "match final": "Match final host {address}\n User nobody-knows\n",
    "match canonical": "Match canonical all\n Port 9\n",
    "match negated": "Match !host {second}\n Compression yes\n",
    "match that cannot be": "Match nothing\n User lab\n",
    "match with tags": "Host {name}\n Tag mine\nMatch tagged mine\n Compression yes\n",
    "include": "Include {path}/more.conf\n",
    "include with a pattern": "Include {path}/*.conf {path}/none-*.conf\n",
    "include of what is not there": "Include {path}/absent\n",
    "include within a host": "Host {second}\n Include {path}/wrong.cfg\nHost {name}\n Include {path}/more.conf\n",
    "include of what includes": "Include {path}/nested.conf\n",
    "include to a wrong port": "Include {path}/wrong.cfg\n",
    "canonicalisation": "CanonicalizeHostname yes\nCanonicalDomains invalid\nCanonicalizeMaxDots 0\n",
    "canonicalisation without a way back": "CanonicalizeHostname yes\nCanonicalDomains invalid\n"
                                           "CanonicalizeFallbackLocal no\n",
    "a jump host": "Host {name}\n ProxyJump {second}\n",
    "a chain of jump hosts": "Host {name}\n ProxyJump {second},{third}\n",
    "a jump host by its address": "Host {name}\n ProxyJump lab@{other}:22\n",
    "a jump host that has one itself": "Host {name}\n ProxyJump {second}\nHost {second}\n ProxyJump {third}\n",
    "a jump host but not for one": "Host {name}\n ProxyJump none\nHost *\n ProxyJump nowhere.invalid\n",
    "a jump host without a name": "Host {name}\n ProxyJump nowhere.invalid\n",
    "a jump host that reaches nothing": "Host {name}\n ProxyJump {second}\n Port 9\n",
    "a command to get there": "Host {name}\n ProxyCommand ssh -F {config} -W %h:%p {second}\n",
    "a command with tokens": "Host {name}\n ProxyCommand sh -c 'test %r = lab && exec ssh -F {config} -W %h:%p "
                             "{second}'\n",
    "a command that fails": "Host {name}\n ProxyCommand false\n",
    "no command but for others": "Host {name}\n ProxyCommand none\nHost *\n ProxyCommand false\n",
    "a dead master": "Host *\n ControlPath {dead}\n",
    "masters": "Host *\n ControlMaster auto\n ControlPath {path}/cm-%C\n ControlPersist no\n",
    "no master": "Host *\n ControlMaster no\n ControlPath none\n",
    "a key that is not there": "Host *\n IdentityFile {path}/absent\n IdentityFile {key}\n",
    "keys by tokens": "Host *\n IdentityFile %d/.ssh/absent-%r-%h\n IdentityFile ~/.ssh/absent\n",
    "a certificate that is not there": "Host *\n CertificateFile {path}/absent-cert.pub\n",
    "an agent that is not there": "Host *\n IdentityAgent {path}/agent\n",
    "no keys": "Host *\n PubkeyAuthentication no\n",
    "another way to log in": "Host *\n PreferredAuthentications password\n",
    "the usual way to log in": "Host *\n PreferredAuthentications publickey,password\n PasswordAuthentication no\n"
                               " KbdInteractiveAuthentication no\n GSSAPIAuthentication yes\n",
    "a wrong user": "Host {name}\n User nobody-knows\n",
    "the wrong family": "Host {name}\n AddressFamily inet6\n",
    "the right family": "Host {name}\n AddressFamily inet\n",
    "a wrong port": "Host {name}\n Port 9\n",
    "an address that is not ours": "Host {name}\n BindAddress 192.0.2.1\n ConnectTimeout 3\n",
    "patience": "Host *\n ConnectTimeout 7\n ConnectionAttempts 2\n ServerAliveInterval 60\n ServerAliveCountMax 5\n"
                " TCPKeepAlive no\n",
    "variables": "Host *\n SendEnv LANG LC_*\n SetEnv FOO=bar LC_X=y\n",
    "a terminal": "Host *\n RequestTTY force\n EscapeChar ~\n",
    "a command here": "Host *\n PermitLocalCommand yes\n LocalCommand false\n",
    "much to say": "Host *\n LogLevel DEBUG3\n VisualHostKey yes\n",
    "nothing to say": "Host *\n LogLevel QUIET\n",
    "forwarding": "Host *\n ForwardAgent yes\n ForwardX11 yes\n DynamicForward 127.0.0.1:0\n",
    "input from nowhere": "Host *\n StdinNull yes\n",
    "to the background": "Host *\n ForkAfterAuthentication yes\n StdinNull yes\n",
    "habits about keys": "Host *\n HashKnownHosts yes\n CheckHostIP yes\n UpdateHostKeys no\n VerifyHostKeyDNS no\n"
                         " FingerprintHash md5\n NoHostAuthenticationForLocalhost yes\n",
    "strict keys": "Host *\n StrictHostKeyChecking yes\n",
    "no known keys": "Host *\n UserKnownHostsFile /dev/null\n",
    "several files of keys": "Host *\n UserKnownHostsFile {path}/absent {known}\n GlobalKnownHostsFile {path}/absent\n",
    "keys by a command": "Host *\n UserKnownHostsFile none\n KnownHostsCommand /bin/cat {known}\n",
    "revoked keys": "Host *\n RevokedHostKeys {known_key}\n",
    "a file of revoked keys that is not there": "Host *\n RevokedHostKeys {path}/absent\n",
    "algorithms": "Host *\n Ciphers +aes256-cbc\n MACs ^hmac-sha2-512\n KexAlgorithms -curve25519-sha256\n"
                  " HostKeyAlgorithms ^ssh-ed25519\n PubkeyAcceptedAlgorithms +ssh-rsa\n",
    "algorithms that it has not": "Host *\n HostKeyAlgorithms rsa-sha2-512\n",
    "compression": "Host *\n Compression yes\n IPQoS throughput\n RekeyLimit 1G 1h\n",
}


class Verdicts:
    """What plain ssh and we said of each idiom."""

    def __init__(self, lab: Any, path: Path):
        self._lab, self._path = lab, path
        self.plain: dict[str, tuple[bool, str]] = {}
        self.ours: dict[str, tuple[bool, str]] = {}
        (path / "more.conf").write_text("Host *\n Compression yes\n")
        (path / "nested.conf").write_text(f"Include {path}/more.conf\nHost {lab.names[0]}\n User lab\n")
        (path / "wrong.cfg").write_text("Port 9\n")
        (path / "revoked").write_text(lab.known_hosts.read_text().splitlines()[0].split(" ", 1)[1] + "\n")
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path / "dead"))

    def _host(self, number: int, idiom: str) -> tuple[str, str]:
        """Write the configuration of an idiom; return the host to ask and the file."""
        lab, config = self._lab, self._path / f"config-{number}"
        text = IDIOMS[idiom].format(
            name=lab.names[0], second=lab.names[1], third=lab.names[2], address=lab.hosts[0].address,
            other=lab.hosts[1].address, key=lab.key, known=lab.known_hosts, known_key=self._path / "revoked",
            path=self._path, config=lab.ssh_config, dead=self._path / "dead")
        lab.write_ssh_config(config, extra=text)
        # As it is written, line ends and all.
        config.write_bytes(text.encode() + config.read_bytes().partition(b"\n\n")[2] if "\r" in text
                           else config.read_bytes())
        first = text.split()[1] if text.startswith("Host try-") else lab.names[0]
        return first, str(config)

    async def look(self) -> None:
        """Ask for all of them."""
        turns = asyncio.Semaphore(AT_ONCE)

        async def one(number: int, idiom: str) -> None:
            host, config = self._host(number, idiom)
            async with turns:
                self.plain[idiom] = await asyncio.get_running_loop().run_in_executor(None, plain, host, config)
                self.ours[idiom] = await ours(host, config)

        await asyncio.gather(*(one(number, idiom) for number, idiom in enumerate(IDIOMS)))


def plain(host: str, config: str) -> tuple[bool, str]:
    """Tell whether plain ssh logs in, without a terminal to ask at."""
    done = subprocess.run(["ssh", "-F", config, host, "true"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=PATIENCE, start_new_session=True, check=False)
    return done.returncode == 0, done.stdout.decode("utf-8", "replace")[-300:]


async def ours(host: str, config: str) -> tuple[bool, str]:
    """Tell whether an agent's first word comes over our own ssh."""
    transport, nonce, seen = OpensshTransport(config), secrets.token_hex(16), b""
    marker = f"SSHJOBS-READY {nonce}".encode()
    try:
        stream = await transport.open(Host(host))
    except HostError as error:
        return False, str(error)
    try:
        await asyncio.wait_for(stream.write(first_stage(nonce)), PATIENCE)
        while marker not in seen and (data := await asyncio.wait_for(stream.read(), PATIENCE)):
            seen += data
    except OSError:
        pass
    finally:
        ending = await stream.close()
    return marker in seen, str(transport.explain(Host(host), ending, seen.decode("utf-8", "replace"), was_ready=False))


@pytest.fixture(scope="module")
def verdicts(lab: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Verdicts]:
    made = Verdicts(lab, tmp_path_factory.mktemp("i"))
    asyncio.run(made.look())
    yield made


@pytest.mark.parametrize("idiom", IDIOMS)
def test_whatever_plain_ssh_does_we_do(verdicts: Verdicts, idiom: str) -> None:
    assert verdicts.ours[idiom][0] == verdicts.plain[idiom][0], (verdicts.plain[idiom], verdicts.ours[idiom])


def test_both_verdicts_were_tried(verdicts: Verdicts) -> None:
    assert len(IDIOMS) >= 60
    assert sum(verdict for verdict, _ in verdicts.plain.values()) >= 40
    assert sum(not verdict for verdict, _ in verdicts.plain.values()) >= 15
