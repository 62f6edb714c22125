"""Attacks on the service layer: connections held open, requests in masses; and slow or eager people."""
import webserver
from cases import case

LATER = "Later, with the detector"
TOOL = "slowhttptest -c 30 -r 30 -l 18 -p 5 -u"


@case("slowloris", webserver.PACKAGES + ["slowhttptest"], [f"{LATER} `slow_http`: one alert for 198.51.100.10 (30 requests whose header never ends, for over 10 s).", "No `syn_flood`, no `port_scan`."])
def slowloris(lab):
    """Slowloris: 30 connections send a header line every few seconds and never finish the request (slowhttptest -H)."""
    lab.edge()
    webserver.start(lab, php=False)
    lab.capture()
    lab.run("sk-c", f"{TOOL} http://10.20.0.80/ -H -i 4", timeout=40)


@case("slow_post", webserver.PACKAGES + ["slowhttptest"], [f"{LATER} `slow_http`: one alert for 198.51.100.10 (30 bodies of a few bytes every few seconds).", "No `syn_flood`, no `port_scan`."])
def slow_post(lab):
    """Slow POST: 30 requests announce a body of 8 kB and send a few bytes of it every few seconds (slowhttptest -B)."""
    lab.edge()
    webserver.start(lab)
    lab.capture()
    lab.run("sk-c", f"{TOOL} http://10.20.0.80/echo.php -B -i 4 -s 8192 -x 10", timeout=40)


@case("slow_read", webserver.PACKAGES + ["slowhttptest"], [f"{LATER} `slow_http`: one alert for 198.51.100.10 (30 answers read through a window of a few bytes).", "No `syn_flood`, no `port_scan`."])
def slow_read(lab):
    """Slow read: 30 clients ask for a file of 48 kB with a tiny receive window and read a few bytes every few seconds (slowhttptest -X)."""
    lab.edge()
    webserver.start(lab, php=False)
    lab.capture()
    lab.run("sk-c", f"{TOOL} http://10.20.0.80/download/image.bin -X -w 40 -y 120 -n 5 -z 16 -k 1", timeout=40)


@case("slow_nearmiss", webserver.PACKAGES + ["wget"], ["Nothing above GREEN: three users of slow lines and two long polls are service statistics, not an attack."])
def slow_nearmiss(lab):
    """The near miss of the slow attacks: three clients download a file of 18 kB at 1 kB/s, one uploads at 500 bytes/s, two hold a long poll that the server answers late."""
    lab.edge()
    lab.address("sk-c", "eth0", "198.51.100.31/24", "198.51.100.32/24", "198.51.100.33/24")
    webserver.start(lab)
    lab.quiet("sk-c", "sysctl -qw net.ipv4.tcp_rmem='4096 8192 8192'")  # small buffers, or the whole file waits in them
    lab.write("www/download/sheet.bin", bytes((i * 7) % 251 for i in range(18000)))
    lab.write("www/poll.php", "<?php sleep(12); echo json_encode(['news' => []]);\n")
    lab.capture()
    lab.run("sk-c", f"""for i in 31 32 33; do timeout 25 wget -q --limit-rate=1k -O /dev/null --bind-address=198.51.100.$i http://10.20.0.80/download/sheet.bin & done
(for i in 1 2 3 4 5 6 7 8 9 10; do head -c 500 nginx.conf; sleep 1; done) | curl -s -m 20 -o /dev/null -H 'Transfer-Encoding: chunked' -T - http://10.20.0.80/echo.php -X POST & curl -s -m 20 -o /dev/null http://10.20.0.80/poll.php & curl -s -m 20 -o /dev/null http://10.20.0.80/poll.php & wait""", timeout=50)


@case("http_flood", webserver.PACKAGES + ["apache2-utils"], [f"{LATER} `request_rate`: one alert for 198.51.100.10 (about 75 requests a second for 10 s, all for one page).", "No `syn_flood`: every handshake completes.", "No `port_scan`."])
def http_flood(lab):
    """A flood of requests from one client: ab in bursts of 65 for ten seconds, all for the same page."""
    lab.edge()
    webserver.start(lab, php=False)
    lab.capture()
    lab.run("sk-c", "for i in $(seq 12); do ab -q -k -n 65 -c 4 http://10.20.0.80/status/204; sleep 0.9; done", timeout=40)


@case("f5_reload", webserver.PACKAGES, [f"{LATER} `successive_click`: a notice of level YELLOW for 198.51.100.10: one page 18 times in 10 s.", "Nothing above YELLOW: this is an impatient person."])
def f5_reload(lab):
    """Successive clicks: one person reloads one slow page 18 times in 10 seconds, with the header a browser adds on reload."""
    lab.edge()
    webserver.start(lab)
    lab.capture()
    lab.run("sk-c", "for i in $(seq 18); do curl -s -m 5 -o /dev/null -A Mozilla/5.0 -H 'Cache-Control: max-age=0' http://www.shop.example/stream.php; sleep 0.$((RANDOM % 5 + 3)); done", timeout=60)


@case("http_crowd", webserver.PACKAGES, ["Nothing: 40 visitors with a few different pages each are ordinary use."])
def http_crowd(lab):
    """The near miss of the request flood: 40 visitors at 40 addresses look at five different pages each."""
    lab.edge()
    lab.address("sk-c", "eth0", *[f"198.51.100.{i}/24" for i in range(100, 140)])
    webserver.start(lab)
    lab.capture()
    pages = " ".join(f"-o /dev/null http://www.shop.example{page}" for page in ("/", "/app.js", "/robots.txt", "/item.php?id=2", "/api/ok.json"))
    lab.run("sk-c", f"for i in $(seq 100 139); do curl -s -m 5 --interface 198.51.100.$i {pages} & sleep 0.1; done; wait", timeout=60)
