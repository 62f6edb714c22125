"""Rows for client-attack.rules."""
from .steps import agent, get, page, response, s, talk, wide

OBJECT = "<html><object classid='clsid:11111111-2222-3333-4444-555555555555' id='x'></object>"
SLIDE = "<script>var spraySlide = unescape('%u9090'); var memory = new Array(); while(spraySlide.length < 4000) spraySlide += spraySlide; for (i=0;i<50;i++) { memory[i] = spraySlide + code; }</script>"
CODE = "%u9090%u9090%ue8fc%u0044%u0000%u458b%u8b3c%u057c%u0178"
BYTES = "%eb%03%59%eb%05%e8%f8%ff%ff%ff%4f%49%49%49"
LNK = b"\x4c\0\0\0\1\x14\2\0\0\0\0\0\xc0\0\0\0\0\0\0\x46" + b"\0" * 56
CLASS = b"\xca\xfe\xba\xbe\0\0\0\x34"


def mail(html):
    return talk(25, s("220 mail\r\n"), "EHLO a\r\n", s("250 ok\r\n"), "MAIL FROM:<a@shop.example>\r\n", s("250 ok\r\n"), "RCPT TO:<b@shop.example>\r\n", s("250 ok\r\n"), "DATA\r\n", s("354 go\r\n"), f"Subject: x\r\n\r\n{html}\r\n.\r\n", s("250 ok\r\n"), "QUIT\r\n", s("221 bye\r\n"))


def doc(data, ctype="application/octet-stream"):
    return page(data, ctype)


TABLE = [
    (1300, page(OBJECT + '<script>x.SaveToFile "c:\\windows\\a.ini"</script>'), page(OBJECT + "<script>x.Play()</script>")),
    (1301, page(OBJECT + '<script>x.SaveAs("..\\..\\..\\..\\a.hta")</script>'), page(OBJECT + '<script>x.Open("..\\a.hta")</script>')),
    (1302, page('targetFile = "C:\\a.dll"\nmemberName = "Save"\nprogid = "A.B"\nargCount = 1'), page("memberName and progid are properties")),
    (1303, page(f'<script>c = unescape("{CODE}")</script>'), page('<script>c = unescape("%u3042%u3044")</script>')),
    (1304, page(f'c = unescape("{BYTES}") & _\n unescape("{BYTES}")'), page('c = unescape("%20%21%22") + "a"')),
    (1305, page(SLIDE), page("<script>var slides = new Array(); unescape(a); for (i=0;i<5;i++) { slides[i] = i; }</script>")),
    (1306, page(OBJECT + '<script>buff = String(8293, "A")</script>'), page(OBJECT + '<script>buff = String(12)</script>')),
    (1307, page(OBJECT + "<script>tryMe()</script>"), page(OBJECT + "<script>play()</script>")),
    (1308, page("<object classid='clsid:BD96C556-65A3-11D0-983A-00C04FC29E36'>"), page("<object classid='clsid:D27CDB6E-AE6D-11cf-96B8-444553540000'>")),
    (1309, page('<body><span id="sp1"><img src="/aKx.gif" onload="WisgEgTNEfaONekEqaMyAUALLMYW(event)"></span>'), page('<body><img src="/a.gif" onload="done()">')),
    (1310, page("<html><script>\nvar IwpVuiFqihVySoJ = '" + "0427147713" * 220 + "';</script>"), page("<html><script>\nvar colours = '0427147713';</script>")),
    (1311, doc(b'%PDF-1.4\n1 0 obj<</URI(mailto:test%../../../../windows/system32/calc.exe".cmd)>>', "application/pdf"), doc(b"%PDF-1.4\n1 0 obj<</URI(mailto:info@shop.example)>>", "application/pdf")),
    (1312, doc(b"%PDF-1.4\n<</OpenAction 2 0 R>> <</S/JavaScript/JS(unescape(\"%u9090\"))>>", "application/pdf"), doc(b"%PDF-1.4\n<</OpenAction [3 0 R /Fit]>>", "application/pdf")),
    (1313, doc(b"\x3f\x5f\x03\0" + b"\0" * 60), doc(b"\x3f\x5f\x04\0" + b"\0" * 60)),
    (1314, doc(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 60, "text/plain"), doc(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 60, "application/msword")),
    (1315, page("<script>x</script>", "application/hta"), page("<script>x</script>", "application/xhtml+xml")),
    (1316, page('<script>location.href = "ms-msdt:/id PCWDiagnostic /param IT_BrowseForFile=x"</script>'), page("<p>ms-msdt is a tool</p>")),
    (1317, page('<img src="notes:=\\\\198.51.100.7\\share\\notes.ini">'), page('<a href="notes:meeting">meeting</a>')),
    (1318, mail('<IMG SRC="jav&#X41sc&#0010;ript:alert(1)">'), mail('<IMG SRC="a.gif" ALT="R&#38;D">')),
    (1319, doc(b"{\\rtf1{\\object\\objemb{\\*\\objclass Equation.3}{\\*\\objdata 01}}}", "application/rtf"), doc(b"{\\rtf1{\\object\\objemb{\\*\\objclass Excel.Sheet}}}", "application/rtf")),
    (1320, doc(LNK + wide("..\\powershell.exe -nop")), doc(LNK + wide("..\\notepad.exe"))),
    (1321, doc(b"PK\3\4\x14\0META-INF/MANIFEST.MF" + b"PK\1\2metasploit/Payload.class"), doc(b"PK\3\4\x14\0META-INF/MANIFEST.MF" + b"PK\1\2shop/Order.class")),
    (1322, doc(CLASS + b"\1\0\x11java/lang/Runtime\1\0\4exec\1\0\7/bin/sh"), doc(CLASS + b"\1\0\x10java/lang/Object\1\0\4name")),
    (1323, agent("Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1)", "/fg/load.php?e=1"), agent("Mozilla/5.0", "/fg/load.php?e=1")),
]
