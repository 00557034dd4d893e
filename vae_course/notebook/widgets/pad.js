// A pad of 28 × 28 pixels to draw on. The picture goes to Python as 784 numbers in [0, 1] when the pen is lifted.
const SIDE = 28;
const ZOOM = 10;
const INK = 1.3; // radius of the pen, in pixels of the digit

function render({ model, el }) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIDE * ZOOM;
  canvas.className = "vae-course-pad";
  canvas.style.cssText = "border: 2px solid #0072B2; touch-action: none; cursor: crosshair; background: white";
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", "pad: draw a digit with the mouse or a finger");
  const clear = document.createElement("button");
  clear.textContent = "clear";
  clear.className = "jupyter-button";
  const context = canvas.getContext("2d");
  let pixels = new Array(SIDE * SIDE).fill(0);
  let last = null;

  const paint = () => {
    pixels.forEach((ink, i) => {
      const level = Math.round(255 * (1 - ink));
      context.fillStyle = `rgb(${level}, ${level}, ${level})`;
      context.fillRect((i % SIDE) * ZOOM, Math.floor(i / SIDE) * ZOOM, ZOOM, ZOOM);
    });
  };
  const dab = (x, y) => {
    for (let i = 0; i < pixels.length; i++) {
      const distance = Math.hypot((i % SIDE) + 0.5 - x, Math.floor(i / SIDE) + 0.5 - y);
      pixels[i] = Math.max(pixels[i], Math.min(1, Math.max(0, INK + 0.5 - distance)));
    }
  };
  const where = (event) => {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * SIDE, ((event.clientY - box.top) / box.height) * SIDE];
  };
  const send = () => {
    model.set("pixels", pixels.slice());
    model.save_changes();
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    last = where(event);
    dab(...last);
    paint();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!last) return;
    const next = where(event);
    const steps = Math.max(1, Math.ceil(2 * Math.hypot(next[0] - last[0], next[1] - last[1])));
    for (let s = 1; s <= steps; s++) {
      dab(last[0] + ((next[0] - last[0]) * s) / steps, last[1] + ((next[1] - last[1]) * s) / steps);
    }
    last = next;
    paint();
  });
  const lift = () => {
    if (last) send();
    last = null;
  };
  canvas.addEventListener("pointerup", lift);
  canvas.addEventListener("pointercancel", lift);
  clear.addEventListener("click", () => {
    pixels.fill(0);
    paint();
    send();
  });
  model.on("change:pixels", () => {
    if (last) return;
    pixels = model.get("pixels").slice();
    paint();
  });
  pixels = model.get("pixels").slice();
  paint();
  const box = document.createElement("div");
  box.append(canvas, document.createElement("br"), clear);
  el.append(box);
}

export default { render };
