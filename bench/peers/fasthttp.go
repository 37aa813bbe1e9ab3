// A constant answer by fasthttp.
package main

import (
	"fmt"
	"net"

	"github.com/valyala/fasthttp"
)

func main() {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Printf("listening on %s (fasthttp)\n", listener.Addr())
	server := fasthttp.Server{
		NoDefaultServerHeader: true,
		Handler: func(ctx *fasthttp.RequestCtx) {
			ctx.SetContentType("text/plain; charset=utf-8")
			ctx.WriteString("Hello, World!")
		},
	}
	panic(server.Serve(listener))
}
