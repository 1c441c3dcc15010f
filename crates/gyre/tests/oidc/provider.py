"""A strict OpenID Connect provider for the tests, with real signatures, that lies on request.

It approves everybody at once. The parameter `lie` of the authorization request says what is wrong with the ID token of
that login. Unlike most providers for tests it insists on PKCE (S256), on the client's secret and on one use of a code.
"""

import base64
import hashlib
import http.server
import json
import secrets
import sys
import time
from urllib.parse import parse_qs, urlencode, urlparse

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET = "gyre", "client-secret-of-the-test"
KEY = RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"})
FORGED = RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"})
codes = {}


def unsigned(claims):
    part = lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
    return f"{part({'alg': 'none'})}.{part(claims)}."


class Provider(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    @property
    def issuer(self):
        return f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, status, body, **headers):
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        url = urlparse(self.path)
        if url.path == "/.well-known/openid-configuration":
            return self.answer(200, {
                "issuer": self.issuer,
                "authorization_endpoint": self.issuer + "/authorize",
                "token_endpoint": self.issuer + "/token",
                "jwks_uri": self.issuer + "/jwks",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
            })
        if url.path == "/jwks":
            return self.answer(200, {"keys": [KEY.as_dict(private=False)]})
        asked = {name: values[0] for name, values in parse_qs(url.query).items()}
        right = asked.get("client_id") == CLIENT and asked.get("response_type") == "code"
        if url.path != "/authorize" or not right or asked.get("code_challenge_method") != "S256":
            return self.answer(400, {"error": "invalid_request"})
        code = secrets.token_urlsafe()
        codes[code] = asked
        back = asked["redirect_uri"] + "?" + urlencode({"code": code, "state": asked["state"]})
        self.answer(302, {}, Location=back)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        form = {name: values[0] for name, values in parse_qs(body).items()}
        basic = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        if self.headers.get("Authorization") != f"Basic {basic}":
            return self.answer(401, {"error": "invalid_client"})
        asked = codes.pop(form.get("code"), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if not asked or asked["code_challenge"] != challenge or asked["redirect_uri"] != form.get("redirect_uri"):
            return self.answer(400, {"error": "invalid_grant"})
        lie, now = asked.get("lie"), int(time.time())
        claims = {
            "iss": "https://other.example" if lie == "issuer" else self.issuer,
            "aud": "another-client" if lie == "audience" else CLIENT,
            "sub": asked.get("sub", "4711"),
            "nonce": "another" if lie == "nonce" else asked.get("nonce"),
            "iat": now - 7200 if lie == "expired" else now,
            "exp": now - 3600 if lie == "expired" else now + 300,
            "email": asked.get("email", "ada@example.org"),
            "email_verified": lie != "unverified",
            "groups": [group for group in asked.get("groups", "").split(",") if group],
        }
        if lie == "unsigned":
            token = unsigned(claims)
        else:
            token = jwt.encode({"alg": "RS256", "kid": "one"}, claims, FORGED if lie == "signature" else KEY)
        self.answer(200, {"access_token": secrets.token_urlsafe(), "token_type": "Bearer", "id_token": token})


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Provider)
print(f"http://127.0.0.1:{server.server_port}", flush=True)
try:
    server.serve_forever()
except KeyboardInterrupt:
    sys.exit(0)
