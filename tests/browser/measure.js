// Read by the tests and evaluated in the page: what a person would see and could reach.
({
  openAll() {
    document.querySelectorAll("details").forEach((d) => { d.removeAttribute("name"); d.open = true; });
  },
  name(e) {
    const words = (e.getAttribute("aria-label") || e.textContent).trim().slice(0, 60);
    return `${e.tagName.toLowerCase()}: ${words}`;
  },
  reachable() {
    const all = document.querySelectorAll("a[href], summary, button, input, [tabindex='0']");
    return [...all].filter((e) => e.checkVisibility());
  },
  isScroller(e) {
    const style = getComputedStyle(e);
    return ["auto", "scroll"].includes(style.overflowX) && e.scrollWidth > e.clientWidth + 1;
  },
  scrollers() {
    return [...document.querySelectorAll("*")].filter((e) => e.checkVisibility() && this.isScroller(e));
  },
  texts() {
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const e = walker.currentNode.parentElement;
      if (walker.currentNode.data.trim() && !e.closest("title, desc, .skip") && e.checkVisibility())
        found.push(e);
    }
    return [...new Set(found)];
  },
  smallTexts(least) {
    const size = (e) => {
      const scale = e.ownerSVGElement ? e.getScreenCTM().a : 1;
      return parseFloat(getComputedStyle(e).fontSize) * scale;
    };
    return this.texts().filter((e) => size(e) < least).map((e) => `${this.name(e)} (${size(e)})`);
  },
  // elements that stick out of the window although no ancestor scrolls
  outside() {
    const wide = document.documentElement.clientWidth;
    const held = (e) => e.closest(".scroll, pre, nav ol, .skip");
    return this.texts().filter((e) => {
      const box = e.getBoundingClientRect();
      return !held(e) && box.width && (box.right > wide + 1 || box.left < -1);
    }).map((e) => this.name(e));
  },
  charts() {
    return [...document.querySelectorAll("figure")].map((figure) => {
      const seen = [...figure.querySelectorAll("svg")].filter((s) => s.checkVisibility());
      const boxes = seen.map((s) => s.getBoundingClientRect());
      return {
        seen: seen.length,
        width: boxes[0]?.width, height: boxes[0]?.height,
        title: seen[0]?.querySelector("title")?.textContent,
        description: seen[0]?.querySelector("desc")?.textContent,
        texts: seen[0]?.querySelectorAll("text").length,
        marks: seen[0]?.querySelectorAll("use, path").length,
      };
    });
  },
  overlaps() {
    const found = [];
    for (const svg of document.querySelectorAll("svg")) {
      if (!svg.checkVisibility()) continue;
      const texts = [...svg.querySelectorAll("text")].map((t) => [t, t.getBoundingClientRect()]);
      texts.forEach(([t, a], i) => texts.slice(i + 1).forEach(([u, b]) => {
        const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        // boxes hold the font's full height; letters touch only where they share a third of it
        if (across > 2 && down > 0.4 * Math.min(a.height, b.height))
          found.push(`${t.textContent} | ${u.textContent}`);
      }));
    }
    return found;
  },
  tables() {
    return [...document.querySelectorAll("table")].map((t) => ({
      caption: t.caption?.textContent.trim(), rows: t.rows.length, seen: t.checkVisibility(),
      height: t.getBoundingClientRect().height,
    }));
  },
  // WCAG 2: (lighter + 0.05) / (darker + 0.05) of relative luminances
  contrasts(least) {
    const numbers = (c) => c.match(/[\d.]+/g).map(Number);
    const luminance = (c) => {
      const [r, g, b] = numbers(c).slice(0, 3).map((v) => {
        v /= 255;
        return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
      });
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (e) => {
      for (; e; e = e.parentElement) {
        const colour = getComputedStyle(e).backgroundColor;
        if ((numbers(colour)[3] ?? 1) > 0) return colour;
      }
      return "rgb(255, 255, 255)";
    };
    const found = new Set();
    for (const e of this.texts()) {
      const style = getComputedStyle(e);
      const [a, b] = [luminance(e.ownerSVGElement ? style.fill : style.color), luminance(ground(e))];
      const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      if (ratio < least) found.add(`${e.className?.baseVal ?? e.className} ${this.name(e)} ${ratio.toFixed(2)}`);
    }
    return [...found];
  },
  focus() {
    const e = document.activeElement;
    const style = getComputedStyle(e), box = e.getBoundingClientRect();
    return {
      index: this.reachable().indexOf(e), name: this.name(e),
      outline: style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth),
      seen: box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
    };
  },
})
