//! Hands a mail to a server. Lettre speaks SMTP; the connection and its TLS are ours, so there is one provider, one set of
//! roots and one cache of addresses, and nothing that was said before TLS is believed after it.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use lettre::Address;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, AsyncTokioStream};
use lettre::transport::smtp::commands::{Data, Mail as From, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::{Error, response::Response};
use secrecy::ExposeSecret as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;

use super::delivery::DeliveryFailure::Unusable;
use super::delivery::{DeliveryError, DeliveryFailure, excerpt};
use crate::config::channels::{Mail, MailTls};
use crate::net::addresses::Addresses;
use crate::net::client::{Tls, connect, secure};

/// A reply before TLS that is longer is none.
const REPLY: usize = 16 * 1024;
/// To say goodbye; the mail is delivered already.
const GOODBYE: Duration = Duration::from_millis(500);

/// A connection on which the mail was delivered.
pub(super) struct Delivered {
    connection: AsyncSmtpConnection,
    /// What the server said to it, secrets redacted.
    pub(super) said: String,
    /// Recipients that it took.
    pub(super) told: Vec<String>,
    /// Recipients that it wants to be asked about again.
    pub(super) left: Vec<String>,
}

impl Delivered {
    /// Leaves as one should; whether the server hears it changes nothing.
    pub(super) async fn goodbye(mut self) -> String {
        let _ = tokio::time::timeout(GOODBYE, self.connection.quit()).await;
        self.said
    }
}

/// Delivers to every recipient of those `left` (of all, where none are named) that the server takes; those it refuses are
/// named, those it puts off are left. It is an error when it takes none.
pub(super) async fn deliver(
    addresses: &Addresses,
    tls: &Tls,
    mail: &Mail,
    left: &[String],
    written: &[u8],
) -> Result<Delivered, DeliveryError> {
    let wanted: Vec<&String> = mail.to.iter().filter(|to| left.is_empty() || left.contains(to)).collect();
    if wanted.is_empty() {
        let gone = format!("no recipient any more: {}", left.join(", "));
        return Err(DeliveryError::permanent(Unusable, gone));
    }
    let tcp = connect(addresses, &mail.server.host, mail.server.port).await?;
    let local = tcp.local_addr().map_err(|error| DeliveryError::passing(DeliveryFailure::Broken, error))?;
    let hello = named(local);
    let stream: Box<dyn AsyncTokioStream> = match mail.tls {
        MailTls::Plain => Box::new(tcp),
        MailTls::Implicit => {
            Box::new(Secured { greeting: b"", stream: secure(tls, tcp, &mail.server.host).await? })
        }
        MailTls::StartTls => {
            let tcp = start_tls(tcp, &hello.to_string()).await?;
            // The server greets once, before TLS; lettre waits for a greeting.
            let greeting = b"220 after TLS\r\n";
            Box::new(Secured { greeting, stream: secure(tls, tcp, &mail.server.host).await? })
        }
    };
    let secrets: Vec<&str> = mail.login.iter().map(|(_, password)| password.expose_secret()).collect();
    let told = |step: &'static str| {
        let secrets = secrets.clone();
        move |error: Error| refused(step, &error, &secrets)
    };
    let mut smtp =
        AsyncSmtpConnection::connect_with_transport(stream, &hello).await.map_err(told("greeting"))?;
    if let Some((user, password)) = &mail.login {
        let login = Credentials::new(user.clone(), password.expose_secret().to_owned());
        smtp.auth(DEFAULT_MECHANISMS, &login).await.map_err(told("log-in"))?;
    }
    let from: Address = mail.from.parse().map_err(|error| DeliveryError::permanent(Unusable, error))?;
    smtp.command(From::new(Some(from), Vec::new())).await.map_err(told("sender"))?;
    let RecipientReply { taken, left, without } = recipients(&mut smtp, &wanted, &secrets).await?;
    // 4yz here may be about this mail and its recipients (a greylist that asks late): others may get through.
    let of_it = |error: Error| told("mail")(error).of_this_message();
    smtp.command(Data).await.map_err(of_it)?;
    let answer = smtp.message(written).await.map_err(of_it)?;
    let said = [vec![shown(&answer, &secrets)], without].concat().join("; ");
    Ok(Delivered { connection: smtp, said, told: taken, left })
}

/// How a client without a name of its own says who it is: by its address (RFC 5321 section 4.1.3).
fn named(local: SocketAddr) -> ClientId {
    match local {
        SocketAddr::V4(v4) => ClientId::Ipv4(*v4.ip()),
        SocketAddr::V6(v6) => ClientId::Ipv6(*v6.ip()),
    }
}

/// What a server said of the recipients.
struct RecipientReply {
    /// It takes the mail for them.
    taken: Vec<String>,
    /// It asks to try these again later.
    left: Vec<String>,
    /// What it said of those that it does not take it for.
    without: Vec<String>,
}

/// Names the recipients. An error when the server takes none of them.
async fn recipients(
    smtp: &mut AsyncSmtpConnection,
    wanted: &[&String],
    secrets: &[&str],
) -> Result<RecipientReply, DeliveryError> {
    let mut named = RecipientReply { taken: Vec::new(), left: Vec::new(), without: Vec::new() };
    for to in wanted {
        let address: Address = to.parse().map_err(|error| DeliveryError::permanent(Unusable, error))?;
        match smtp.command(Rcpt::new(address, Vec::new())).await {
            Ok(_) => named.taken.push((*to).clone()),
            Err(error) => {
                let told = refused(to, &error, secrets);
                if error.status().is_none() {
                    return Err(told);
                }
                if !told.permanent {
                    named.left.push((*to).clone());
                }
                named.without.push(told.cause);
            }
        }
    }
    if !named.taken.is_empty() {
        return Ok(named);
    }
    let text = named.without.join("; ");
    let permanent = named.left.is_empty();
    Err(DeliveryError {
        permanent,
        ..DeliveryError::passing(DeliveryFailure::Refused, text).of_this_message()
    })
}

fn shown(answer: &Response, secrets: &[&str]) -> String {
    let text = answer.message().collect::<Vec<_>>().join(" ");
    excerpt(&format!("{} {text}", answer.code()), secrets)
}

/// 5xx is for good, 4xx for now (RFC 5321 section 4.2.1).
fn refused(step: &str, error: &Error, secrets: &[&str]) -> DeliveryError {
    let cause = excerpt(&format!("{step}: {error}"), secrets);
    if error.is_permanent() {
        DeliveryError::permanent(DeliveryFailure::Refused, cause)
    } else if error.is_transient() {
        DeliveryError::passing(DeliveryFailure::Busy, cause)
    } else if error.is_client() {
        DeliveryError::permanent(Unusable, cause)
    } else {
        DeliveryError::passing(DeliveryFailure::Broken, cause)
    }
}

/// Up to the point where TLS begins (RFC 3207).
async fn start_tls(mut tcp: TcpStream, hello: &str) -> Result<TcpStream, DeliveryError> {
    reply(&mut tcp, "220").await?;
    say(&mut tcp, &format!("EHLO {hello}\r\n")).await?;
    let offers = reply(&mut tcp, "250").await?;
    let offered = |line: &str| line.get(4..).is_some_and(|word| word.trim().eq_ignore_ascii_case("STARTTLS"));
    if !offers.lines().any(offered) {
        return Err(DeliveryError::permanent(
            DeliveryFailure::Tls,
            "the server offers no STARTTLS; write tls = \"implicit\" and its port for that",
        ));
    }
    say(&mut tcp, "STARTTLS\r\n").await?;
    reply(&mut tcp, "220").await?;
    Ok(tcp)
}

async fn say(tcp: &mut TcpStream, text: &str) -> Result<(), DeliveryError> {
    tcp.write_all(text.as_bytes())
        .await
        .map_err(|error| DeliveryError::passing(DeliveryFailure::Broken, error))
}

/// One reply, of one line or several. It is read byte by byte, so that nothing said after it is taken for said in TLS.
async fn reply(tcp: &mut TcpStream, wanted: &str) -> Result<String, DeliveryError> {
    let mut text = Vec::new();
    let mut start = 0;
    loop {
        let byte =
            tcp.read_u8().await.map_err(|error| DeliveryError::passing(DeliveryFailure::Broken, error))?;
        text.push(byte);
        if text.len() > REPLY {
            return Err(DeliveryError::passing(DeliveryFailure::Broken, "an endless reply"));
        }
        if byte == b'\n' {
            if text.get(start + 3) != Some(&b'-') {
                break;
            }
            start = text.len();
        }
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    let said = excerpt(&text, &[]);
    match text.as_bytes().first() {
        Some(_) if text.starts_with(wanted) => Ok(text),
        Some(b'5') => Err(DeliveryError::permanent(DeliveryFailure::Refused, said)),
        Some(b'4') => Err(DeliveryError::passing(DeliveryFailure::Busy, said)),
        Some(_) | None => Err(DeliveryError::passing(DeliveryFailure::Broken, format!("not SMTP: {said}"))),
    }
}

/// A connection in TLS, and what is to be read before it.
#[derive(Debug)]
struct Secured {
    greeting: &'static [u8],
    stream: crate::net::tls::ClientStream,
}

impl AsyncTokioStream for Secured {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.get_ref().0.peer_addr()
    }
}

impl AsyncRead for Secured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.greeting.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let (now, later) = self.greeting.split_at(self.greeting.len().min(buf.remaining()));
        buf.put_slice(now);
        self.greeting = later;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Secured {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
