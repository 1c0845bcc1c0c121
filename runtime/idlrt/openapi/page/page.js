// Shows openapi.json, which is next to this page, in the colors that the browser asks for.
"use strict";

const dark = window.matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
follow();
dark.addEventListener("change", follow);

SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#page",
  deepLinking: true,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  // Tokens are forgotten with the page.
  persistAuthorization: false,
  // The default is a service on another host.
  validatorUrl: null,
  onComplete: () => {
    const title = document.querySelector("#page .info .title");
    if (title !== null) document.title = title.firstChild.textContent;
  },
});
