"""Rows for webshell.rules."""
from .steps import PLAIN, get, http, page, post, response, upload

SECRET = "WwSelqL9JENiXyh3FQxhh6neBpd6CFz4tFjBohtMq8pX0MY0w6%2F1Gkg4dxy5JO9o"
NO_COOKIE = [("User-Agent", "Mozilla/5.0"), ("Accept", "*/*")]
B64 = "QUJD" * 150

TABLE = [
    (1000, get("/x.php?cmd=whoami"), get("/x.php?cmd=list")),
    (1001, post("/x.aspx", "cmd=ipconfig+%2Fall"), post("/x.aspx", "cmd=open&item=2")),
    (1002, post("/x.php", "z=@eval(base64_decode($_POST[z0]));&z0=QGluaV9zZXQ"), post("/x.php", "text=what+does+base64_decode+do")),
    (1003, post("/x.aspx", "z=Response.Write(\"->|\");var+e=eval(x);"), post("/x.aspx", "text=Response.Write(hello)")),
    (1004, page("->|/var/www/html|<-"), page("-> | see the map | <-")),
    (1005, http("POST /god.aspx", headers=NO_COOKIE, form="pass=" + SECRET), http("POST /god.aspx", headers=NO_COOKIE, form="pass=secret&user=bob")),
    (1006, http("POST /a.jsp", headers=NO_COOKIE + [("Cookie", "JSESSIONID=8F1A;")], form="key=" + SECRET), http("POST /a.jsp", headers=NO_COOKIE + [("Cookie", "JSESSIONID=8F1A")], form="key=" + SECRET[:30])),
    (1007, http("POST /god.aspx", headers=NO_COOKIE, form="pass=" + SECRET, answer=response("11cd6a8758984163" + "QUJDREVGR0g=" + "6c37ac826a2a04bc")), http("POST /form.aspx", headers=NO_COOKIE, form="user=bob", answer=response("11cd6a8758984163" + "QUJDREVGR0g=" + "6c37ac826a2a04bc"))),
    (1008, http("POST /b.jsp", headers=[("User-Agent", "Mozilla/5.0"), ("Accept", "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2")], form=B64), http("POST /b.jsp", headers=[("User-Agent", "Mozilla/5.0"), ("Accept", "text/html, *; q=.2")], form="a=" + B64[:40])),
    (1009, page("<html><title>b374k 3.2</title>"), page("<html><title>c9 shells of the sea</title>")),
    (1018, page("<html><title>c99shell v1.0</title>"), page("<html><title>C99 standard</title>")),
    (1019, page("<html><title>r57shell 1.4</title>"), page("<html><title>R57 road</title>")),
    (1020, page("<a href=\"#\" onclick=\"g('FilesMan',null)\">Files</a>"), page("FilesManager")),
    (1021, page("<title>p0wny@shell:~#</title>"), page("<title>pwny shell</title>")),
    (1010, post("/w.php", "a=FilesMan&c=%2Fvar%2Fwww&p1=&p2="), post("/w.php", "a=Files&c=1&p1=2")),
    (1012, upload("a.txt", "<?php @eval($_POST['x']);"), upload("a.txt", "the variable $_POST is an array; eval is evil")),
    (1013, upload("a.txt", "<% Runtime.getRuntime().exec(request.getParameter(\"c\")); %>"), upload("a.txt", "request.getParameter reads a parameter")),
    (1016, get("/uploads/a.php?cmd=x"), get("/uploads/a.jpg?size=x")),
    (1017, get("/aspnet_client/discover.aspx"), get("/aspnet_client/system_web/2_0/WebUIValidation.js")),
]
