//! The gRPC backend behind every proxy: each call is answered with one message of 64 bytes and `grpc-status: 0`.
//!
//! One thread. It prints its port and runs until it is killed. HTTP/2 in the clear, by prior knowledge.

use std::io;

use bytes::Bytes;
use h2::server::SendResponse;
use http::{HeaderMap, Request, Response};
use tokio::net::TcpListener;

/// A message that is not compressed, and its length (gRPC over HTTP/2, "Length-Prefixed-Message").
const MESSAGE: &[u8; 69] = &{
    let mut message = [b'x'; 69];
    message[0] = 0;
    message[1] = 0;
    message[2] = 0;
    message[3] = 0;
    message[4] = 64;
    message
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    loop {
        let (tcp, _) = listener.accept().await?;
        tcp.set_nodelay(true)?;
        tokio::spawn(async move {
            // A proxy that leaves ends its connection in whatever way: there is nobody to tell.
            let Ok(mut connection) = h2::server::handshake(tcp).await else { return };
            while let Some(Ok((request, respond))) = connection.accept().await {
                tokio::spawn(answer(request, respond));
            }
        });
    }
}

async fn answer(request: Request<h2::RecvStream>, mut respond: SendResponse<Bytes>) -> Result<(), h2::Error> {
    let mut body = request.into_body();
    while let Some(chunk) = body.data().await {
        let length = chunk?.len();
        body.flow_control().release_capacity(length)?;
    }
    let head = Response::builder().header("content-type", "application/grpc").body(());
    let mut send = respond.send_response(head.expect("is whole"), false)?;
    send.send_data(Bytes::from_static(MESSAGE), false)?;
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
    send.send_trailers(trailers)
}
