//! Redirects, and the credentials of their requests.

use super::*;

#[test]
fn five_redirects_are_followed_and_a_sixth_is_not() {
    let target = ReleaseServer::http([content()]);
    let onward = || Answer::redirect(&target.url("/moved"));
    // Each to the next, relative, and the last to another server.
    let mut answers = vec![Answer::redirect("/next"); 4];
    answers.push(onward());
    let server = ReleaseServer::http(answers);
    Attempt::new(&server.url("/")).assert_fetched();

    let mut answers = vec![Answer::redirect("/next"); 5];
    answers.push(onward());
    server.will_answer(answers);
    Attempt::new(&server.url("/")).assert_failed(0, "TooManyRedirects { limit: 5 }");
}

#[test]
fn credentials_stay_with_their_scheme_host_and_port() {
    let other = ReleaseServer::http([content()]);
    let server =
        ReleaseServer::http([Answer::redirect("/next"), Answer::redirect(&other.url("/"))]);
    Attempt::new(&server.url("/").replace("://", "://user:secret@")).assert_fetched();
    let expected = basic("user:secret");
    for request in server.take_requests() {
        assert_eq!(request.header("Authorization"), Some(expected.as_str()));
    }
    assert_eq!(other.take_requests()[0].header("Authorization"), None);
}

#[test]
fn status_of_a_redirect_without_a_location_is_an_error() {
    for code in [300, 302, 304] {
        let server = ReleaseServer::http([Answer::status(code)]);
        let expected = format!("Status {{ status: {code},");
        Attempt::new(&server.url("/")).assert_failed(0, &expected);
    }
}
