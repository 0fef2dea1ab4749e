new BroadcastChannel("extauthz").postMessage({ type: "proven" });
window.close();
