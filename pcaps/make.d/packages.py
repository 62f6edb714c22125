"""Debian packages a laboratory needs: installed when missing, without letting them start services on the machine."""
import os
import pathlib
import subprocess

BASE_PACKAGES = ["iproute2", "procps", "ethtool", "tcpdump", "openssl", "curl", "iputils-ping"]


def install(packages):
    have = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n"], capture_output=True, text=True).stdout
    installed = {line.split()[0] for line in have.splitlines() if line.endswith(" installed")}
    missing = [package for package in packages if package not in installed]
    if not missing:
        return
    # A policy file keeps the packages' services from being started on the machine itself.
    policy = pathlib.Path("/usr/sbin/policy-rc.d")
    ours = not policy.exists()
    if ours:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
        command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing]
        if subprocess.run(command, env=environment).returncode:
            subprocess.run(["apt-get", "update", "-qq"], check=True)
            subprocess.run(command, env=environment, check=True)
    finally:
        if ours:
            policy.unlink()
