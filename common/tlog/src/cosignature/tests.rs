use super::*;

#[test]
fn the_message_of_a_cosignature() {
    // C2SP tlog-cosignature "Format": two lines before the checkpoint's own.
    let text = "example.com/log\n7\nroot\n";
    assert_eq!(
        cosigned_message(1_679_315_147, text),
        "cosignature/v1\ntime 1679315147\nexample.com/log\n7\nroot\n"
    );
}

#[test]
fn times_precede_signatures() {
    let signed = Timestamped {
        time: 0x0102_0304_0506_0708,
        signature: vec![9; 64],
    };
    let blob = signed.encode();
    assert!(blob.starts_with(&[1, 2, 3, 4, 5, 6, 7, 8, 9]));
    assert_eq!(Timestamped::decode(&blob), Some(signed));
    assert_eq!(Timestamped::decode(&[0; 8]), None);
    assert_eq!(Timestamped::decode(&[0; 7]), None);
}
