#![allow(clippy::unwrap_used, reason = "tests")]

use common_server::body::Reader;

use super::*;

async fn body() -> Read {
    let request = http::Request::new("body".into());
    Reader::new(16).read(request).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packages_hold_up_nothing_but_packages() {
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let signals = std::sync::Mutex::new((Some(begun), released));
    let slow = tokio::spawn(run(body().await, move |bytes, here| {
        assert_eq!(bytes, b"body");
        if here == Here::Shared {
            return Ok(None);
        }
        let mut signals = signals.lock().unwrap();
        signals.0.take().unwrap().send(()).unwrap();
        signals.1.recv().unwrap();
        Ok(Some(()))
    }));
    has_begun.await.unwrap();
    let mut next = Vec::new();
    for _ in 0..8 {
        let package = |_: &[u8], here| Ok((here == Here::Packages).then_some(()));
        next.push(tokio::spawn(run(body().await, package)));
    }
    for _ in 0..64 {
        run(body().await, |_, _| Ok(Some(()))).await.unwrap();
    }
    assert!(next.iter().chain([&slow]).all(|package| !package.is_finished()));
    release.send(()).unwrap();
    for package in next.into_iter().chain([slow]) {
        package.await.unwrap().unwrap();
    }
}
