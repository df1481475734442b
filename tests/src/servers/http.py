# PORT DIRECTORY [CERTIFICATE KEY]: an HTTP or HTTPS server on 127.0.0.1 that knows ranges (RFC 9110, 14) and entity tags.
import os
import re
import ssl
import sys
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer


class Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def send_head(self):
        self.left = None
        path = self.translate_path(self.path)
        if os.path.isdir(path):
            return super().send_head()
        try:
            file = open(path, "rb")
        except OSError:
            self.send_error(404, "File not found")
            return None
        about = os.fstat(file.fileno())
        size, tag = about.st_size, '"%x-%x"' % (about.st_mtime_ns, about.st_size)
        start, end, status = 0, size, 200
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if asked and asked[0] != "bytes=-" and self.headers.get("If-Range", tag) == tag:
            first, last = asked.groups()
            start = int(first) if first else max(0, size - int(last))
            end = min(size, int(last) + 1) if first and last else size
            status = 206
            if start >= end:
                file.close()
                self.send_response(416)
                self.send_header("Content-Range", "bytes */%d" % size)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return None
        # The bytes are in the log, as in Apache's.
        self.log_request(status, end - start)
        self.send_response_only(status)
        self.send_header("Date", self.date_time_string())
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(end - start))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", tag)
        self.send_header("Last-Modified", self.date_time_string(about.st_mtime))
        if status == 206:
            self.send_header("Content-Range", "bytes %d-%d/%d" % (start, end - 1, size))
        self.end_headers()
        file.seek(start)
        self.left = end - start
        return file

    def copyfile(self, source, target):
        if self.left is None:
            return super().copyfile(source, target)
        while self.left:
            piece = source.read(min(self.left, 1 << 18))
            if not piece:
                self.close_connection = True
                return
            self.left -= len(piece)
            target.write(piece)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def finish_request(self, request, address):
        if self.context:
            request = self.context.wrap_socket(request, server_side=True)
        super().finish_request(request, address)

    def handle_error(self, request, address):
        # Clients may go away in the middle.
        pass


port, directory = sys.argv[1:3]
os.chdir(directory)
server = Server(("127.0.0.1", int(port)), Handler)
server.context = None
if len(sys.argv) > 3:
    server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.context.load_cert_chain(sys.argv[3], sys.argv[4])
server.serve_forever()
