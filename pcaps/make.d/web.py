"""Ordinary web traffic."""
import webserver
from cases import case
from lab import BROWSER

QUIET = ["No alert of any kind: this is ordinary use."]


def browse(lab, site, flag=""):
    curl = f"curl -s {flag} -A '{BROWSER}' -o /dev/null"
    lab.run("sk-c", f"{curl} {site}/ -o /dev/null {site}/site.css -o /dev/null {site}/app.js -o /dev/null {site}/robots.txt")  # one connection, four requests
    lab.run("sk-c", f"{curl} --compressed {site}/site.css")
    lab.run("sk-c", f"{curl} {site}/stream.php")  # chunked
    lab.run("sk-c", f"{curl} --compressed {site}/stream.php")
    lab.run("sk-c", f"{curl} -d 'name=Alice&order=2+cups' {site}/echo.php")
    lab.run("sk-c", f"{curl} -F note=hello -F 'file=@{lab.tmp}/www/docs/terms.txt' {site}/upload.php")
    lab.run("sk-c", f"head -c 3000 {lab.tmp}/www/docs/manual.txt | {curl} -H 'Transfer-Encoding: chunked' -H 'Content-Type: text/plain' -T - -X POST {site}/echo.php")
    lab.run("sk-c", f"{curl} -H 'Content-Type: application/json' -d '{{\"a\": [1, 2, 3]}}' {site}/echo.php")
    lab.run("sk-c", f"{curl} -0 {site}/index.html")
    lab.run("sk-c", f"{curl} -I {site}/index.html")
    lab.run("sk-c", f"{curl} -X OPTIONS {site}/index.html")
    lab.run("sk-c", f"{curl} -L {site}/old")
    lab.run("sk-c", f"{curl} {site}/not-here.html")
    lab.run("sk-c", f"{curl} {site}/status/204")
    lab.run("sk-c", f"{curl} -r 100-199 {site}/docs/terms.txt")
    lab.run("sk-c", f"{curl} -z 'Fri, 01 Jan 2038 00:00:00 GMT' {site}/index.html")
    lab.run("sk-c", f"{curl} {site}/download/image.bin")


@case("http_browse", webserver.PACKAGES + ["ncat"], QUIET)
def http_browse(lab):
    """A browser's ordinary HTTP/1.x with a real server, over IPv4: keep-alive, gzip, chunked both ways, form, JSON and multipart POST, HEAD, OPTIONS, redirect, 404, 204, 304, a range, HTTP/1.0, pipelined requests, HTTP/0.9, and a 48 KB download."""
    lab.edge()
    webserver.start(lab)
    lab.capture()
    browse(lab, "http://www.shop.example")
    lab.run("sk-c", "printf 'GET /docs/terms.txt HTTP/1.1\\r\\nHost: www.shop.example\\r\\n\\r\\nGET /api/ok.json HTTP/1.1\\r\\nHost: www.shop.example\\r\\n\\r\\n"
                    "GET /not-here HTTP/1.1\\r\\nHost: www.shop.example\\r\\nConnection: close\\r\\n\\r\\n' | ncat -i 2 10.20.0.80 80")  # pipelined
    lab.run("sk-c", "printf 'GET /api/ok.json\\r\\n' | ncat -i 2 10.20.0.80 80")  # HTTP/0.9


@case("http_browse_ipv6", webserver.PACKAGES, QUIET)
def http_browse_ipv6(lab):
    """The same browsing over IPv6, by address."""
    lab.edge()
    webserver.start(lab)
    lab.capture()
    browse(lab, "http://[2001:db8:20::80]", "-g")
