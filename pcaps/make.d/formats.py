"""One small visit with an injection, in each form a capture file comes in."""
import subprocess

import webserver
from cases import case


@case("formats", webserver.PACKAGES + ["wireshark-common", "gzip", "zstd"], [
    "Each file gives the same alerts: the injection fires once in each.",
    "Files: `traffic.pcap` (microseconds, Ethernet), `traffic.pcapng` (dumpcap), `two-interfaces.pcapng` (one capture on both sides of the router: each packet twice), `nanoseconds.pcap`, `traffic.pcap.gz`, `traffic.pcap.zst`, `cooked-v1.pcap` and `cooked-v2.pcap` (tcpdump -i any: link types 113 and 276), `cut-at-200.pcap` (a snap length of 200 bytes). What is cut in the middle of a packet is in tests/malformed.rs."])
def formats(lab):
    """One ordinary page and one SQL injection, captured at the same time by several programs in several file formats."""
    lab.edge()
    webserver.start(lab)
    lab.capture()
    lab.capture(name="nanoseconds.pcap", tool="tcpdump -Z root -i dmz -s 0 -U --time-stamp-precision=nano -w OUT")
    lab.capture(name="cooked-v1.pcap", tool="tcpdump -Z root -i any -y LINUX_SLL -s 0 -U -w OUT")
    lab.capture(name="cooked-v2.pcap", tool="tcpdump -Z root -i any -y LINUX_SLL2 -s 0 -U -w OUT")
    lab.capture(name="cut-at-200.pcap", tool="tcpdump -Z root -i dmz -s 200 -U -w OUT")
    lab.capture(name="traffic.pcapng", tool="dumpcap -q -n -i dmz -w OUT")
    lab.capture(name="two-interfaces.pcapng", tool="dumpcap -q -n -i dmz -i out -w OUT")
    lab.run("sk-c", "curl -s -m 5 -o /dev/null http://10.20.0.80/")
    lab.run("sk-c", "curl -s -m 5 -o /dev/null 'http://10.20.0.80/item.php?id=0+UNION+SELECT+1,name,secret+FROM+account'")
    lab.finish_capture()
    traffic = lab.folder / "traffic.pcap"
    with open(lab.folder / "traffic.pcap.gz", "wb") as out:
        subprocess.run(["gzip", "-9nc", traffic], stdout=out, check=True)
    subprocess.run(["zstd", "-qf", "-19", traffic, "-o", lab.folder / "traffic.pcap.zst"], check=True)
