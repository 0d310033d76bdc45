// Runs in the page; returns what is wrong with it, as sentences.
const wrong = [];
const root = document.documentElement;

const channels = text => text.match(/[\d.]+/g).map(Number);
const luminance = ([r, g, b]) => {
  const [x, y, z] = [r, g, b].map(c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
};
const contrast = (a, b) => {
  const [x, y] = [luminance(a) + 0.05, luminance(b) + 0.05];
  return x > y ? x / y : y / x;
};
const ground = element => {
  for (let e = element; e; e = e.parentElement) {
    const color = channels(getComputedStyle(e).backgroundColor);
    if (color.length === 3 || color[3] === 1) return color;
  }
  return [255, 255, 255];
};
const shown = element => element.checkVisibility({opacityProperty: true, visibilityProperty: true});
const about = element => element.outerHTML.slice(0, 80);

if (root.scrollWidth > root.clientWidth)
  wrong.push(`wider than the window: ${root.scrollWidth} > ${root.clientWidth}`);
if (document.body.innerText.trim().length < 20) wrong.push('no text to be seen');

// WCAG 1.4.3 and 1.4.11.
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (texts.nextNode()) {
  const element = texts.currentNode.parentElement;
  if (!texts.currentNode.data.trim() || !shown(element)) continue;
  const ratio = contrast(channels(getComputedStyle(element).color), ground(element));
  if (ratio < 4.5) wrong.push(`contrast ${ratio.toFixed(2)}: ${about(element)}`);
}
for (const element of document.querySelectorAll('input, .button')) {
  const style = getComputedStyle(element);
  const around = ground(element.parentElement);
  const edge = Math.max(
    contrast(channels(style.borderTopColor), around) * (channels(style.borderTopColor)[3] !== 0),
    contrast(ground(element), around));
  if (edge < 3) wrong.push(`edge ${edge.toFixed(2)}: ${about(element)}`);
}

// Large enough for a finger.
for (const element of document.querySelectorAll('a, button, input')) {
  const {width, height} = element.getBoundingClientRect();
  if (width < 44 || height < 44) wrong.push(`small, ${width} x ${height}: ${about(element)}`);
}

// For those who do not see it, and for keyboards.
if (root.lang !== 'en') wrong.push('no language');
if (!document.title.trim()) wrong.push('no title');
for (const [selector, count] of [['h1', 1], ['main', 1], ['header', 1]])
  if (document.querySelectorAll(selector).length !== count) wrong.push(`not ${count} ${selector}`);
for (const input of document.querySelectorAll('input'))
  if (!input.labels.length) wrong.push(`no label: ${about(input)}`);
for (const image of document.images) {
  if (!image.hasAttribute('alt')) wrong.push(`no alt: ${about(image)}`);
  if (!image.complete || !image.naturalWidth) wrong.push(`not loaded: ${about(image)}`);
}
for (const area of document.querySelectorAll('pre'))
  if (area.scrollWidth > area.clientWidth && area.tabIndex < 0) wrong.push('code out of reach of keyboards');
if (document.querySelector('[id=""], script, iframe, object, embed, style, [style], [onclick], [onload], [onerror]'))
  wrong.push('an element or attribute that should not be here');
if (document.styleSheets.length !== 1 || !document.styleSheets[0].cssRules.length) wrong.push('no style');

// Nothing moves.
if (document.getAnimations().length) wrong.push('something is animated');
for (const element of document.querySelectorAll('*')) {
  const {transitionDuration, animationName} = getComputedStyle(element);
  if (transitionDuration !== '0s' || animationName !== 'none') wrong.push(`moves: ${about(element)}`);
}
if (seen.shift > 0) wrong.push(`the layout shifts: ${seen.shift}`);
for (const violation of seen.violations) wrong.push(`against the policy: ${violation}`);
if (window.pwned) wrong.push('a script ran');
return wrong;
