import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.MessageDigest;
import java.security.cert.CertificateFactory;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/** Java's own HttpClient by HTTP/2 over TLS against the origin at BASE. Usage: WithHttpClient BASE CA */
public class WithHttpClient {
    private static final int LARGE = 1 << 20;
    private static final BodyPublisher NOTHING = BodyPublishers.noBody();

    private final String base;
    private final HttpClient client;

    private WithHttpClient(String base, Path ca) throws Exception {
        this.base = base;
        KeyStore known = KeyStore.getInstance(KeyStore.getDefaultType());
        known.load(null, null);
        try (InputStream pem = Files.newInputStream(ca)) {
            known.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(pem));
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(known);
        SSLContext tls = SSLContext.getInstance("TLS");
        tls.init(null, trust.getTrustManagers(), null);
        client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_2).sslContext(tls).build();
    }

    private static void check(boolean holds, Object about) {
        if (!holds) {
            throw new AssertionError(about);
        }
    }

    /** The bytes of all tests. */
    private static byte[] pattern(int n) {
        byte[] all = new byte[n];
        for (int i = 0; i < n; i++) {
            int at = i % (251 * 256);
            all[i] = (byte) (at * 31 + at / 251);
        }
        return all;
    }

    private HttpRequest.Builder asked(String method, String path, BodyPublisher body) {
        return HttpRequest.newBuilder(URI.create(base + path)).method(method, body);
    }

    private HttpRequest get(String path) {
        return HttpRequest.newBuilder(URI.create(base + path)).GET().build();
    }

    /** Prints an answer as the client read it. The test compares it with what it reads without the proxy. */
    private HttpResponse<byte[]> seen(String what, HttpRequest asked) throws Exception {
        HttpResponse<byte[]> answer = client.send(asked, BodyHandlers.ofByteArray());
        check(answer.version() == HttpClient.Version.HTTP_2, answer.version());
        System.out.println("== " + what + ": " + answer.statusCode());
        new TreeMap<>(answer.headers().map()).forEach((name, values) -> {
            for (String value : values) {
                System.out.println(name + ": " + value);
            }
        });
        if (asked.uri().getPath().equals("/seen")) {
            System.out.print(new String(answer.body()));
        } else {
            byte[] hash = MessageDigest.getInstance("SHA-256").digest(answer.body());
            System.out.println(answer.body().length + " bytes, " + HexFormat.of().formatHex(hash));
        }
        return answer;
    }

    private void messages() throws Exception {
        HttpRequest.Builder asked = asked("GET", "/seen?q=a+b&q=%7b", NOTHING);
        seen("request", asked.headers("X-Odd", "kept", "X-Odd", "twice", "X-Empty", "", "Cookie", "one=1; two=2").build());
        HttpResponse<byte[]> answer = seen("fields", get("/fields"));
        check(answer.headers().allValues("x-twice").equals(List.of("one", "two")), answer.headers());
        check(answer.headers().allValues("set-cookie").size() == 2, answer.headers());

        answer = seen("no content", get("/empty"));
        check(answer.statusCode() == 204 && answer.body().length == 0, answer);
        answer = seen("unchanged", get("/unchanged"));
        check(answer.statusCode() == 304 && answer.headers().firstValue("etag").equals(Optional.of("\"one\"")), answer);
        answer = seen("head", asked("HEAD", "/large", NOTHING).build());
        check(answer.headers().firstValueAsLong("content-length").getAsLong() == LARGE && answer.body().length == 0, answer);
        seen("head of unknown length", asked("HEAD", "/stream", NOTHING).build());
        seen("deleted", asked("DELETE", "/seen", NOTHING).build());
        seen("missing", get("/nowhere"));
    }

    private void bodies() throws Exception {
        byte[] all = pattern(LARGE);
        check(Arrays.equals(seen("large", get("/large")).body(), all), "the download is not what was sent");
        check(Arrays.equals(seen("stream", get("/stream")).body(), all), "the download is not what was sent");
        // It reads over what comes after the body.
        check(new String(seen("trailers", get("/trailers")).body()).equals("with trailers\n"), "the body before trailers");

        seen("a form", asked("POST", "/seen", BodyPublishers.ofString("a=1&b=2")).build());
        seen("nothing", asked("POST", "/seen", NOTHING).build());
        seen("large upload", asked("PUT", "/seen", BodyPublishers.ofByteArray(all)).build());
        // Of unknown length.
        List<byte[]> parts = new ArrayList<>();
        for (int at = 0; at < LARGE; at += 7_001) {
            parts.add(Arrays.copyOfRange(all, at, Math.min(at + 7_001, LARGE)));
        }
        byte[] back = seen("there and back", asked("POST", "/echo", BodyPublishers.ofByteArrays(parts)).build()).body();
        check(Arrays.equals(back, all), "the upload came back changed");
    }

    /** A request that has no answer yet, and an answer without end. */
    private void leaves() throws Exception {
        CompletableFuture<HttpResponse<byte[]>> never = client.sendAsync(get("/never"), BodyHandlers.ofByteArray());
        seen("one asks", get("/asked?1"));
        never.cancel(true);
        try {
            never.get();
            throw new AssertionError("cancelled, and answered");
        } catch (CancellationException | ExecutionException expected) {
            seen("one has left", get("/left?1"));
        }

        HttpResponse<InputStream> endless = client.send(get("/endless"), BodyHandlers.ofInputStream());
        try (InputStream body = endless.body()) {
            check(body.readNBytes(LARGE).length == LARGE, "the answer without end has ended");
        }
        seen("two have left", get("/left?2"));
    }

    private void together(int n) throws IOException, InterruptedException, ExecutionException {
        List<CompletableFuture<HttpResponse<String>>> asked = new ArrayList<>();
        for (int i = 0; i < n; i++) {
            asked.add(client.sendAsync(get("/together?" + n), BodyHandlers.ofString()));
        }
        for (CompletableFuture<HttpResponse<String>> one : asked) {
            check(one.get().body().equals("together\n"), one.get());
        }
    }

    public static void main(String[] args) throws Exception {
        WithHttpClient client = new WithHttpClient(args[0], Path.of(args[1]));
        client.messages();
        client.bodies();
        client.leaves();
        client.together(50);
        // Its selector thread would keep it.
        System.exit(0);
    }
}
