// Go's net/http by HTTP/2 over TLS against the origin at BASE. Usage: with_net_http BASE CA
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"sort"
	"strings"
)

var (
	base   = os.Args[1]
	client http.Client
	// Connections that were opened.
	dialled int
)

const large = 1 << 20

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func check(holds bool, what string, about ...any) {
	if !holds {
		panic(fmt.Sprintln(append([]any{what}, about...)...))
	}
}

// The bytes of all tests.
func pattern(n int) []byte {
	all := make([]byte, n)
	for i := range all {
		at := i % (251 * 256)
		all[i] = byte(at*31 + at/251)
	}
	return all
}

func ask(ctx context.Context, method, path string, body io.Reader) *http.Request {
	asked, err := http.NewRequestWithContext(ctx, method, base+path, body)
	must(err)
	return asked
}

func do(asked *http.Request) (*http.Response, []byte) {
	answer, err := client.Do(asked)
	must(err)
	body, err := io.ReadAll(answer.Body)
	must(err)
	must(answer.Body.Close())
	check(answer.Proto == "HTTP/2.0", "by another version", answer.Proto)
	return answer, body
}

func printFields(before string, fields http.Header) {
	var lines []string
	for name, values := range fields {
		for _, value := range values {
			lines = append(lines, before+strings.ToLower(name)+": "+value)
		}
	}
	// Lines of one name stay in their order.
	sort.SliceStable(lines, func(a, b int) bool {
		return strings.SplitN(lines[a], ":", 2)[0] < strings.SplitN(lines[b], ":", 2)[0]
	})
	for _, line := range lines {
		fmt.Println(line)
	}
}

// Prints an answer as the client read it. The test compares it with what it reads without the proxy.
func seen(what string, asked *http.Request) (*http.Response, []byte) {
	answer, body := do(asked)
	fmt.Printf("== %s: %d, length %d\n", what, answer.StatusCode, answer.ContentLength)
	printFields("", answer.Header)
	printFields("trailer ", answer.Trailer)
	if asked.URL.Path == "/seen" {
		fmt.Print(string(body))
	} else {
		fmt.Printf("%d bytes, %x\n", len(body), sha256.Sum256(body))
	}
	return answer, body
}

func get(what, method, path string) (*http.Response, []byte) {
	return seen(what, ask(context.Background(), method, path, nil))
}

func post(what, path string, body io.Reader) (*http.Response, []byte) {
	return seen(what, ask(context.Background(), "POST", path, body))
}

// Of unknown length: the type does not tell it.
type unknown struct{ io.Reader }

func messages() {
	asked := ask(context.Background(), "GET", "/seen?q=a+b&q=%7b", nil)
	asked.Header["X-Odd"] = []string{"kept", "twice"}
	asked.Header.Set("X-Empty", "")
	asked.Header.Set("Cookie", "one=1; two=2; three=3")
	asked.SetBasicAuth("user", "secret")
	seen("request", asked)
	answer, _ := get("fields", "GET", "/fields")
	check(len(answer.Header["X-Twice"]) == 2 && len(answer.Cookies()) == 2, "fields", answer.Header)

	answer, body := get("no content", "GET", "/empty")
	check(answer.StatusCode == 204 && len(body) == 0, "no content", answer)
	answer, body = get("unchanged", "GET", "/unchanged")
	check(answer.StatusCode == 304 && answer.Header.Get("Etag") == `"one"` && len(body) == 0, "unchanged", answer)
	answer, body = get("head", "HEAD", "/large")
	check(answer.ContentLength == large && len(body) == 0, "head", answer)
	answer, body = get("head of unknown length", "HEAD", "/stream")
	check(answer.StatusCode == 200 && len(body) == 0, "head", answer)
	get("deleted", "DELETE", "/seen")
	get("missing", "GET", "/nowhere")
}

func bodies() {
	_, body := get("large", "GET", "/large")
	check(bytes.Equal(body, pattern(large)), "the download is not what was sent")
	answer, body := get("stream", "GET", "/stream")
	check(answer.ContentLength == -1 && bytes.Equal(body, pattern(large)), "the download is not what was sent")

	post("a form", "/seen", strings.NewReader("a=1&b=2"))
	post("nothing", "/seen", http.NoBody)
	post("large upload", "/seen", bytes.NewReader(pattern(large)))
	_, body = post("there and back", "/echo", unknown{bytes.NewReader(pattern(large))})
	check(bytes.Equal(body, pattern(large)), "the upload came back changed")
}

func trailers() {
	answer, _ := get("trailers", "GET", "/trailers")
	check(answer.Trailer.Get("X-Sum") == "14" && answer.Trailer.Get("X-Late") == "so it is", "trailers", answer.Trailer)

	asked := ask(context.Background(), "POST", "/seen", unknown{strings.NewReader("with trailers")})
	asked.Trailer = http.Header{"X-Sum": {"13"}, "X-Late": {"so it is"}}
	_, body := seen("sent trailers", asked)
	check(strings.Contains(string(body), "\ntrailer x-late: so it is\ntrailer x-sum: 13\n"), "trailers", string(body))
}

// The answer is held back until the hints are here.
func hints() {
	said := ""
	ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, fields textproto.MIMEHeader) error {
			said += fmt.Sprint(code, " ", fields.Get("Link"))
			go do(ask(context.Background(), "GET", "/released", nil))
			return nil
		},
	})
	seen("hints", ask(ctx, "GET", "/hints", nil))
	check(said == "103 </style.css>; rel=preload; as=style", "hints", said)
}

// A request that has no answer yet, and an answer without end.
func leaves() {
	ctx, leave := context.WithCancel(context.Background())
	failed := make(chan error)
	go func() {
		_, err := client.Do(ask(ctx, "GET", "/never", nil))
		failed <- err
	}()
	get("one asks", "GET", "/asked?1")
	leave()
	err := <-failed
	check(errors.Is(err, context.Canceled), "cancelled", err)
	get("one has left", "GET", "/left?1")

	answer, err := client.Do(ask(context.Background(), "GET", "/endless", nil))
	must(err)
	_, err = io.CopyN(io.Discard, answer.Body, large)
	must(err)
	must(answer.Body.Close())
	get("two have left", "GET", "/left?2")
}

func together(n int) {
	done := make(chan string)
	for i := 0; i < n; i++ {
		go func() {
			_, body := do(ask(context.Background(), "GET", fmt.Sprint("/together?", n), nil))
			done <- string(body)
		}()
	}
	for i := 0; i < n; i++ {
		body := <-done
		check(body == "together\n", "together", body)
	}
}

func main() {
	ca, err := os.ReadFile(os.Args[2])
	must(err)
	roots := x509.NewCertPool()
	check(roots.AppendCertsFromPEM(ca), "no certificate")
	dialler := tls.Dialer{Config: &tls.Config{RootCAs: roots, NextProtos: []string{"h2", "http/1.1"}}}
	transport := http.Transport{ForceAttemptHTTP2: true, DisableCompression: true}
	transport.DialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		dialled++
		return dialler.DialContext(ctx, network, address)
	}
	client.Transport = &transport
	messages()
	bodies()
	trailers()
	hints()
	leaves()
	together(50)
	check(dialled == 1, "connections", dialled)
}
