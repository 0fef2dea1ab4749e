// The texts of the page whose contrast is below 4.5 to 1 (WCAG 2.2 success criterion 1.4.3).
() => {
    const channels = text => (text.match(/[\d.]+/g) || []).map(Number);
    const luminance = ([r, g, b]) => {
        const [R, G, B] = [r, g, b].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * R + 0.7152 * G + 0.0722 * B;
    };
    const background = element => {
        for (let at = element; at; at = at.parentElement) {
            const found = channels(getComputedStyle(at).backgroundColor);
            if (found.length === 3 || found[3] === 1) return found;
        }
        return [255, 255, 255];
    };
    const low = [];
    const texts = 'h1, h2, dt, dd, p, label, summary, input[type=text], button, a, small, code';
    for (const element of document.querySelectorAll(texts)) {
        const [a, b] = [luminance(channels(getComputedStyle(element).color)), luminance(background(element))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < 4.5) low.push([element.tagName, element.className, ratio]);
    }
    return low;
}
