# PORT DIRECTORY USER PASSWORD: an FTP server on 127.0.0.1, for reading.
import sys
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer

port, directory, user, password = sys.argv[1:]
authorizer = DummyAuthorizer()
authorizer.add_anonymous(directory)
authorizer.add_user(user, password, directory, perm="elr")
FTPHandler.authorizer = authorizer
FTPServer(("127.0.0.1", int(port)), FTPHandler).serve_forever()
