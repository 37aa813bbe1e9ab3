"""Python's http.client, on one connection that is kept. usage: client.py HOST:PORT"""
import http.client
import sys

PIECES = [b"x" * (i * 100 + 1) for i in range(50)]


def main():
    connection = http.client.HTTPConnection(sys.argv[1], timeout=20)
    for _ in range(200):
        connection.request("GET", "/")
        response = connection.getresponse()
        assert (response.status, response.read()) == (200, b"Hello, World!")
    for _ in range(5):
        connection.request("POST", "/echo", body=iter(PIECES), encode_chunked=True,
                           headers={"Transfer-Encoding": "chunked"})
        response = connection.getresponse()
        assert (response.status, response.read()) == (200, b"".join(PIECES))
    connection.request("HEAD", "/")
    response = connection.getresponse()
    assert (response.getheader("Content-Length"), response.read()) == ("13", b"")
    connection.request("GET", "/stream?chunks=7&size=99")
    assert len(connection.getresponse().read()) == 693
    connection.close()


main()
