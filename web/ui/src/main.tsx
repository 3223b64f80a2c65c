import { render } from "preact";
import "./styles/base.css";
import "./styles/parts.css";
import "./styles/pages.css";
import { listenForKeys } from "./app/keys";
import { interceptLinks, restoreScroll } from "./app/router";
import { applyTheme } from "./app/settings";
import { Shell } from "./app/shell";

applyTheme();
listenForKeys();
interceptLinks();
restoreScroll();
const root = document.getElementById("app");
if (root) render(<Shell />, root);
