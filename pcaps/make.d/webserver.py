"""The web server of the cases: nginx with a small shop in PHP that has holes on purpose.

The holes are real (SQL built from the request, files read by name, a command line built from the request, …), so
that the answers to the attacks are real answers. PHP runs as www-data, and sees the namespace's own /etc/passwd.
"""

NGINX = """
user www-data;
worker_processes 1;
daemon off;
pid {tmp}/nginx.pid;
error_log {tmp}/nginx-error.log;
events {{ worker_connections 1024; multi_accept on; }}
http {{
  types {{ text/html html; text/plain txt; text/css css; application/javascript js; image/png png; application/json json;
           application/pdf pdf; application/x-msdownload exe; application/zip zip; }}
  default_type application/octet-stream;
  access_log off;
  server_tokens on;
  gzip on; gzip_min_length 200; gzip_types text/plain text/css application/json;
  client_body_temp_path {tmp}/body; fastcgi_temp_path {tmp}/fcgi; proxy_temp_path {tmp}/proxy;
  uwsgi_temp_path {tmp}/uwsgi; scgi_temp_path {tmp}/scgi;
  keepalive_timeout {keepalive};
  if_modified_since before;
  client_max_body_size 2m;
  {extra}
  server {{
    listen {bind}80 backlog={backlog}; listen [::]:80;
    {listen}
    root {tmp}/www;
    index index.php index.html;
    merge_slashes off;
    location /admin/ {{ auth_basic "Back office"; auth_basic_user_file {tmp}/htpasswd; try_files $uri /admin/index.html; }}
    location /private/ {{ return 403; }}
    location /old {{ return 301 /index.html; }}
    location /status/204 {{ return 204; }}
    location ~ \\.php$ {{
      try_files $uri =404;
      include /etc/nginx/fastcgi_params;
      fastcgi_param SCRIPT_FILENAME {tmp}/www$fastcgi_script_name;
      fastcgi_pass 127.0.0.1:9000;
    }}
  }}
}}
"""

PAGES = {
    "index.html": "<!doctype html><html><head><title>Shop</title><link rel=stylesheet href=/site.css></head><body><h1>Shop</h1>"
                  + "<p>Tea, cups and kettles.</p>" * 12 + "<form action=/search.php><input name=q></form></body></html>\n",
    "site.css": "body{font-family:sans-serif;margin:2em}\n" + "".join(f".c{i}{{color:#{i:03d}}}\n" for i in range(60)),
    "app.js": "document.addEventListener('DOMContentLoaded', function () { console.log('ready'); });\n",
    "robots.txt": "User-agent: *\nDisallow: /admin/\n",
    "docs/terms.txt": "Terms of sale. " * 30 + "\n",
    "docs/manual.txt": "Manual of the kettle. " * 40 + "\n",
    "blog/how-to-read-etc-passwd.html": "<html><body><h1>How to read etc/passwd</h1><p>Each line has seven fields.</p></body></html>\n",
    "blog/select-committee.html": "<html><body><h1>The select committee from Union Street</h1></body></html>\n",
    "api/ok.json": '{"ok": true, "items": [1, 2, 3]}\n',
    "admin/index.html": "<html><body><h1>Back office</h1><p>42 orders today.</p></body></html>\n",
    # SQL built from the request; errors are shown.
    "item.php": """<?php
$db = new SQLite3(__DIR__ . '/../shop.db');
$id = $_GET['id'] ?? '1';
$rows = @$db->query("SELECT id, name, price FROM item WHERE id = $id");
if (!$rows) { http_response_code(500); echo "SQL error: near \\"$id\\": " . $db->lastErrorMsg(); exit; }
echo "<html><body><h1>Item</h1><ul>";
while ($r = $rows->fetchArray(SQLITE3_NUM)) { echo "<li>" . implode(" | ", $r) . "</li>"; }
echo "</ul></body></html>";
""",
    "login.php": """<?php
$db = new SQLite3(__DIR__ . '/../shop.db');
$u = $_POST['user'] ?? ''; $p = $_POST['pass'] ?? '';
$row = @$db->querySingle("SELECT name FROM account WHERE name = '$u' AND secret = '$p'");
if ($row) { setcookie('session', md5($row)); header('Location: /index.html', true, 302); exit; }
http_response_code(isset($_POST['user']) && basename($_SERVER['SCRIPT_NAME']) == 'login.php' ? 401 : 200);
echo "<html><body><p>Login failed</p><form method=post><input name=user><input name=pass type=password></form></body></html>";
""",
    # The same login, answering a failure with 200 as many sites do.
    "signin.php": """<?php
include __DIR__ . '/login.php';
""",
    # Reflects the word as it came.
    "search.php": """<?php
$q = $_REQUEST['q'] ?? '';
echo "<html><body><h1>Search</h1><p>No result for: " . $q . "</p></body></html>";
""",
    "comment.php": """<?php
echo "<html><body><p>Thank you.</p><blockquote>" . ($_POST['text'] ?? '') . "</blockquote></body></html>";
""",
    # Reads a file by the name in the request.
    "download.php": """<?php
$path = __DIR__ . '/docs/' . ($_GET['file'] ?? 'terms.txt');
if (!@is_file($path)) { http_response_code(404); echo "no such document"; exit; }
header('Content-Type: text/plain'); readfile($path);
""",
    "page.php": """<?php
$page = $_GET['page'] ?? 'docs/terms.txt';
if (!@include($page)) { echo "page not found"; }
""",
    # A command line built from the request.
    "ping.php": """<?php
$host = $_REQUEST['host'] ?? '127.0.0.1';
header('Content-Type: text/plain');
echo shell_exec("ping -n -c 1 -W 1 $host 2>&1");
""",
    "upload.php": """<?php
$f = $_FILES['file'] ?? null;
if (!$f) { http_response_code(400); echo "no file"; exit; }
move_uploaded_file($f['tmp_name'], __DIR__ . '/uploads/' . basename($f['name']));
echo "stored as /uploads/" . basename($f['name']);
""",
    "xml.php": """<?php
$doc = new DOMDocument();
if (!@$doc->loadXML(file_get_contents('php://input'), LIBXML_NOENT | LIBXML_DTDLOAD)) { http_response_code(400); echo "bad xml"; exit; }
header('Content-Type: application/xml'); echo "<answer>" . htmlspecialchars($doc->textContent) . "</answer>";
""",
    "fetch.php": """<?php
$body = @file_get_contents($_REQUEST['url'] ?? '', false, stream_context_create(['http' => ['timeout' => 2]]));
if ($body === false) { http_response_code(502); echo "cannot fetch"; exit; }
echo $body;
""",
    "echo.php": """<?php
header('Content-Type: application/json');
echo json_encode(['method' => $_SERVER['REQUEST_METHOD'], 'bytes' => strlen(file_get_contents('php://input')), 'post' => $_POST]);
""",
    "stream.php": """<?php
header('Content-Type: text/plain');
for ($i = 0; $i < 5; $i++) { echo "part $i " . str_repeat('.', 200) . "\\n"; flush(); usleep(20000); }
""",
}


def pages(lab):
    for name, text in PAGES.items():
        lab.write("www/" + name, text)
    lab.write("www/download/image.bin", bytes((i * 7 + i // 251) % 256 for i in range(48 * 1024)))
    uploads = lab.tmp / "www" / "uploads"
    uploads.mkdir()
    uploads.chmod(0o777)
    lab.write("shop.sql", "CREATE TABLE item(id INTEGER, name TEXT, price INTEGER); INSERT INTO item VALUES(1,'kettle',40),(2,'cup',8),(3,'tea',12);"
              "CREATE TABLE account(name TEXT, secret TEXT); INSERT INTO account VALUES('admin','6f1ed002ab5595859014ebf0951522d9'),('alice','Spring-2026');")
    lab.write("make-db.php", "<?php $db = new SQLite3($argv[1]); $db->exec(file_get_contents($argv[2]));")
    lab.quiet("sk-s", f"php8.2 {lab.tmp}/make-db.php {lab.tmp}/shop.db {lab.tmp}/shop.sql || php-cgi -q {lab.tmp}/make-db.php {lab.tmp}/shop.db {lab.tmp}/shop.sql")
    lab.quiet("sk-s", f"chmod 666 {lab.tmp}/shop.db; for d in body fcgi proxy uwsgi scgi; do mkdir -p {lab.tmp}/$d; chown www-data {lab.tmp}/$d; done")
    lab.quiet("sk-s", f"printf 'operator:%s\\n' \"$(openssl passwd -apr1 Green-Kettle-7)\" > {lab.tmp}/htpasswd")


def start(lab, keepalive=65, listen="", extra="", backlog=511, php=True, bind=""):
    """nginx on port 80 of the server, and PHP behind it."""
    pages(lab)
    conf = lab.write("nginx.conf", NGINX.format(tmp=lab.tmp, keepalive=keepalive, listen=listen, extra=extra, backlog=backlog, bind=bind))
    if php:
        lab.spawn("sk-s", "setpriv --reuid=33 --regid=33 --clear-groups env PHP_FCGI_CHILDREN=2 php-cgi -d cgi.fix_pathinfo=0 -d allow_url_include=0 -b 127.0.0.1:9000", wait_port=9000)
    return lab.spawn("sk-s", f"nginx -c {conf}", wait_port=80)


PACKAGES = ["nginx-light", "php-cgi", "php8.2-sqlite3", "php8.2-xml"]
