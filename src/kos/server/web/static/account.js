// The account page: a fresh secret for one-time codes, shown as a picture before a code confirms it.
"use strict";

document.getElementById("totp-begin")?.addEventListener("click", async (event) => {
  try {
    const made = await kos.call("POST", "/api/v1/me/totp");
    document.getElementById("totp-picture").src = made.picture;
    document.getElementById("totp-secret").textContent = made.secret;
    document.getElementById("totp-value").value = made.secret;
    document.getElementById("totp-confirm").hidden = false;
    event.target.hidden = true;
    document.getElementById("totp-code").focus();
  } catch (error) { kos.toast(error.message, true); }
});
