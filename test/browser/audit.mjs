// What a program can see wrong on a page: names, roles, headings, contrast
// (WCAG 2.2 AA), inline styles, things that stick out. Runs inside the page.

/** Findings, each in words; none when all is well. */
export async function audit(page) {
  return page.evaluate(() => {
    const out = new Set();
    const visible = (e) => e.checkVisibility({ opacityProperty: true, visibilityProperty: true });
    const words = (e) => (e.getAttribute("aria-label") || e.getAttribute("title") || e.textContent || "").trim();
    const say = (e) => `<${e.tagName.toLowerCase()} class="${e.getAttribute("class") ?? ""}"> ${words(e).slice(0, 40)}`;

    if (!document.documentElement.lang) out.add("the page has no language");
    if (!document.title) out.add("the page has no title");
    if (document.querySelectorAll("main").length !== 1) out.add("there is not exactly one main");
    for (const e of document.querySelectorAll("[style]")) {
      // The driver's own pictures leave empty ones behind.
      if (e.getAttribute("style")) out.add(`inline style: ${say(e)}`);
    }
    for (const e of document.querySelectorAll("button, a[href], [role=button], summary")) {
      if (visible(e) && !words(e)) out.add(`no name: ${e.outerHTML.slice(0, 80)}`);
    }
    for (const e of document.querySelectorAll("input")) {
      if (visible(e) && !e.getAttribute("aria-label") && !e.labels?.length) out.add(`input without a label: ${e.outerHTML.slice(0, 80)}`);
    }
    for (const e of document.querySelectorAll("table, [role=treegrid], [role=tablist], dialog, aside")) {
      if (visible(e) && !e.getAttribute("aria-label") && !e.getAttribute("aria-labelledby")) out.add(`no label: ${say(e).slice(0, 60)}`);
    }
    for (const e of document.querySelectorAll("[role=treegrid] [role=row]:not(:first-child)")) {
      if (!e.getAttribute("aria-level")) out.add(`a row of a treegrid has no level: ${say(e)}`);
    }
    const ids = new Set();
    for (const e of document.querySelectorAll("[id]")) {
      if (ids.has(e.id)) out.add(`id twice: ${e.id}`);
      ids.add(e.id);
    }
    if (document.documentElement.scrollWidth > window.innerWidth) out.add(`the page is ${document.documentElement.scrollWidth - window.innerWidth} px too wide`);

    // Contrast of every visible text with what is behind it.
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const rgba = (colour) => {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = colour;
      canvas.fillRect(0, 0, 1, 1);
      return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const over = (top, under) => [0, 1, 2].map((i) => (top[i] * top[3] + under[i] * (255 - top[3])) / 255).concat(255);
    const behind = (e) => {
      for (let at = e; at; at = at.parentElement) {
        if (at instanceof SVGElement) {
          const rect = at.tagName === "g" ? [...at.children].findLast((c) => c.tagName === "rect" && c.getAttribute("class") !== "behind") : null;
          const fill = rect ? getComputedStyle(rect).fill : "none";
          if (fill !== "none" && rgba(fill)[3] === 255) return rgba(fill);
          continue;
        }
        const colour = rgba(getComputedStyle(at).backgroundColor);
        if (colour[3] === 255) return colour;
        if (colour[3] > 0) return over(colour, behind(at.parentElement));
      }
      return [255, 255, 255, 255];
    };
    const light = (c) => {
      const [r, g, b] = c.slice(0, 3).map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const seen = new Set();
    for (let n = texts.nextNode(); n; n = texts.nextNode()) {
      const e = n.parentElement;
      if (!e || !n.data.trim() || seen.has(e) || !visible(e) || e.closest("option, title, .faded, noscript, :disabled, .dim")) continue;
      seen.add(e);
      const style = getComputedStyle(e);
      const under = behind(e);
      const ink = over(rgba(e instanceof SVGElement ? style.fill : style.color), under);
      const [a, b] = [light(ink), light(under)].sort((x, y) => y - x);
      const ratio = (a + 0.05) / (b + 0.05);
      const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && Number(style.fontWeight) >= 700);
      if (ratio < (large ? 3 : 4.5)) out.add(`contrast ${ratio.toFixed(2)}: ${say(e)}`);
    }
    return [...out].slice(0, 12);
  });
}
