// As test/netns/resolve.c, by Go's own resolver.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"
)

func main() {
	resolver := net.Resolver{PreferGo: true}
	count, _ := strconv.Atoi(os.Args[2])
	pause, _ := strconv.Atoi(os.Args[3])
	failed, slowest, last := 0, time.Duration(0), "none"
	for i := 0; i < count; i++ {
		began := time.Now()
		_, err := resolver.LookupHost(context.Background(), os.Args[1]+".")
		slowest = max(slowest, time.Since(began))
		if err != nil {
			failed, last = failed+1, err.Error()
		}
		time.Sleep(time.Duration(pause) * time.Millisecond)
	}
	fmt.Println(count, failed, slowest.Milliseconds(), last)
}
